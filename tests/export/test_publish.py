import pytest

from mamsf_keras.export.publish import next_version, publish, staging

pytestmark = pytest.mark.no_keras


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("present", "version"),
    [
        (["20240101-backup", "2024.txt", "7"], 8),
        ([], 1),
        (["7"], 8),
        (["toy-3.tflite"], 4),
        (["2", "toy-11-int8.tflite.json"], 12),
        (["toy-5-keras"], 6),
        (["toy-4.parity.json"], 5),
        (["other-9.tflite", "toy-x.tflite", ".lock", "1.5"], 1),
    ],
)
def test_version_follows_the_highest_one_of_any_format(tmp_path, present, version):
    out = tmp_path / "toy"
    out.mkdir()
    for name in present:
        (out / name).touch()
    assert next_version(out) == version


def test_files_appear_when_they_are_published_and_nothing_else_stays(tmp_path):
    with staging(tmp_path / "toy") as folder:
        (folder.path_of("saved-model")).mkdir()
        (folder.path_of("saved-model") / "saved_model.pb").touch()
        folder.path_of("tflite").touch()
        (folder.work / "images.npy").touch()
        scratch = folder.files.parent.name
        assert set(names(tmp_path / "toy")) == {scratch, f"{scratch}.lock", ".lock"}
        publish(folder, {})
    assert names(tmp_path / "toy") == [".lock", "1", "toy-1.tflite"]


def test_staging_areas_without_a_lock_are_removed_and_other_folders_are_kept(tmp_path):
    for name in (".export-0123abcd/files/1", ".export-notes"):
        (tmp_path / "toy" / name).mkdir(parents=True)
    with staging(tmp_path / "toy"):
        assert not (tmp_path / "toy" / ".export-0123abcd").exists()
    assert names(tmp_path / "toy") == [".export-notes", ".lock"]


def test_failure_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), staging(tmp_path / "toy") as folder:
        folder.path_of("tflite").touch()
        raise RuntimeError
    assert names(tmp_path) == []


def test_leftovers_of_a_killed_export_are_removed(tmp_path):
    (tmp_path / "toy" / ".export-0123abcd" / "files").mkdir(parents=True)
    (tmp_path / "toy" / ".export-0123abcd.lock").touch()
    with staging(tmp_path / "toy"):
        assert ".export-0123abcd" not in names(tmp_path / "toy")
    assert names(tmp_path / "toy") == [".lock"]


def test_second_export_to_the_same_folder_is_refused(tmp_path):
    with staging(tmp_path / "toy"), pytest.raises(BlockingIOError, match="Another process is working on"):
        with staging(tmp_path / "toy"):
            pass
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="is a file. Set `out` to a folder"), staging(tmp_path / "file"):
        pass

import pytest

from mamsf_keras.inference.outputs import check_outputs

pytestmark = pytest.mark.no_keras


@pytest.fixture
def images(tmp_path):
    """A folder of images, and an image in it."""
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    (folder / "0.png").write_bytes(b"image")
    return folder


def test_outputs_with_paths_of_their_own_are_accepted(tmp_path, images):
    files = {"json_file": tmp_path / "p.json", "csv_file": images / "p.csv"}
    for heatmaps in (None, tmp_path / "panels", tmp_path / "in-panels", tmp_path):
        check_outputs(files, heatmaps, [images, images / "0.png"], overwrite=True)
    check_outputs({"json_file": None, "csv_file": None}, images / "panels", [images / "0.png"], overwrite=False)


def test_two_outputs_with_one_path_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="`json_file` and `csv_file` must be different. Received: .*x for both"):
        check_outputs({"json_file": "x", "csv_file": tmp_path / "x"}, None, [], overwrite=True)
    with pytest.raises(ValueError, match="`csv_file` and `heatmaps` must be different"):
        check_outputs({"json_file": None, "csv_file": "x"}, "./x", [], overwrite=False)


@pytest.mark.parametrize("heatmaps", ["in", "in/panels", "in/sub/panels", "out/../in/panels", "link/panels"])
def test_panels_in_a_folder_of_images_are_refused(tmp_path, images, heatmaps):
    (tmp_path / "link").symlink_to(images)
    with pytest.raises(ValueError, match="`heatmaps` must be outside the folders of the images.* Received: .*/in"):
        check_outputs({}, tmp_path / heatmaps, [images], overwrite=True)


def test_panels_in_the_folder_of_an_image_are_refused(images):
    with pytest.raises(ValueError, match="replace them. Received: .*in, with images from .*0.png"):
        check_outputs({}, images, [images / "0.png"], overwrite=True)


def test_existing_outputs_need_overwrite(tmp_path, images):
    for name, path in (("json_file", images / "0.png"), ("csv_file", images)):
        with pytest.raises(FileExistsError, match=f"already exists. Choose another `{name}`, or use `overwrite`"):
            check_outputs({name: path}, None, [], overwrite=False)
    check_outputs({"json_file": images / "0.png"}, images, [], overwrite=True)
    with pytest.raises(FileExistsError, match="in already exists"):
        check_outputs({"csv_file": images}, None, [], overwrite=True)
    with pytest.raises(FileExistsError, match="is not empty. Choose another `heatmaps`, or use `overwrite`"):
        check_outputs({}, images, [], overwrite=False)


def test_outputs_that_cannot_be_written_are_named(tmp_path, images):
    with pytest.raises(FileNotFoundError, match="The folder of .*p.json does not exist. Create it first"):
        check_outputs({"json_file": tmp_path / "no" / "p.json"}, None, [], overwrite=False)
    with pytest.raises(NotADirectoryError, match="0.png is a file. Set `heatmaps` to a folder"):
        check_outputs({}, images / "0.png", [], overwrite=False)

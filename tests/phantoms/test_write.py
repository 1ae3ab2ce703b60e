import pandas as pd
import pytest
from PIL import Image

from mamsf_keras.config import DataConfig
from mamsf_keras.data.open import open_dataset
from mamsf_keras.data.readers.nih import PHANTOMS
from mamsf_keras.findings import BOX_FINDINGS, FINDINGS
from mamsf_keras.phantoms import write_phantoms
from tests.toys import contents

pytestmark = pytest.mark.no_keras


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder of 100 phantoms, and their table."""
    out = tmp_path_factory.mktemp("phantoms") / "set"
    table = write_phantoms(out, images=100, size=64, seed=5, workers=1)
    return out, table


def test_equal_seeds_give_equal_bytes_on_one_and_two_processes(written, tmp_path):
    write_phantoms(tmp_path / "again", images=100, size=64, seed=5, workers=2)
    assert contents(tmp_path / "again") == contents(written[0])
    write_phantoms(tmp_path / "other", images=100, size=64, seed=6, workers=1)
    assert contents(tmp_path / "other")["Data_Entry_2017.csv"] != contents(written[0])["Data_Entry_2017.csv"]


def test_layout_is_read_back(written):
    out, table = written
    header = (out / "Data_Entry_2017.csv").read_text().splitlines()[0]
    assert header == (
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
        "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
    )
    assert (out / "BBox_List_2017.csv").read_text().startswith("Image Index,Finding Label,Bbox [x,y,w,h],,,\n")
    assert not pd.read_csv(out / "Data_Entry_2017.csv").isna().any(axis=None)
    dataset = open_dataset(DataConfig(out))
    read = dataset.resolved.table
    assert dataset.kind == "phantoms"
    assert list(read["image"]) == list(table["image"])
    for column in ("official_list", "split", "sex", "view", *FINDINGS):
        assert list(read[column]) == list(table[column])
    with Image.open(read["path"].iloc[0]) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "L", (64, 64))
    assert (out / "README.txt").read_text().startswith(PHANTOMS)


def test_boxes_are_written_in_the_1024_frame_with_nih_names(written):
    out, table = written
    boxes = pd.read_csv(out / "BBox_List_2017.csv", skiprows=1, names=["image", "name", "x", "y", "w", "h"])
    boxes["name"] = boxes["name"].replace("Infiltrate", "Infiltration")
    labeled = {(r.image, f) for r in table.itertuples() for f in BOX_FINDINGS if getattr(r, f)}
    assert set(zip(boxes["image"], boxes["name"], strict=True)) == labeled
    assert ((boxes["x"] + boxes["w"]).max(), (boxes["y"] + boxes["h"]).max()) <= (1024, 1024)
    assert (boxes[["x", "y", "w", "h"]] % 16 == 0).all(axis=None)


def test_progress_counts_every_image(tmp_path):
    counts = []
    write_phantoms(tmp_path / "set", images=40, size=32, workers=1, progress=counts.append)
    assert sum(counts) == 40 and len(counts) > 1


def test_other_folders_are_refused(written, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(FileExistsError, match="contains files that are not phantoms"):
            write_phantoms(tmp_path, images=20, overwrite=overwrite)
    assert (tmp_path / "thesis.txt").read_text() == "mine"
    with pytest.raises(FileExistsError, match="already contains phantoms"):
        write_phantoms(written[0], images=20)


def test_overwrite_replaces_phantoms(tmp_path):
    for seed in (0, 1):
        write_phantoms(tmp_path / "set", images=20, size=32, seed=seed, overwrite=True)
    write_phantoms(tmp_path / "fresh", images=20, size=32, seed=1)
    assert contents(tmp_path / "set") == contents(tmp_path / "fresh")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["fresh", "set"]


def test_overwrite_refuses_a_folder_with_other_files(tmp_path):
    write_phantoms(tmp_path / "set", images=20, size=32, workers=1)
    (tmp_path / "set" / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="contains files that are not phantoms"):
        write_phantoms(tmp_path / "set", images=20, size=32, overwrite=True)
    assert (tmp_path / "set" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_failure_leaves_nothing_behind(tmp_path, error):
    def stop(count):
        raise error("disk full")

    with pytest.raises(error):
        write_phantoms(tmp_path / "set", images=40, size=32, workers=1, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_folder_of_a_killed_run_is_removed(tmp_path):
    (tmp_path / ".set-0123abcd" / "set").mkdir(parents=True)
    (tmp_path / ".set-0123abcd.lock").touch()
    write_phantoms(tmp_path / "set", images=20, size=32, workers=1)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_bad_arguments_are_named(tmp_path):
    for name, value in (("images", 5), ("size", 8), ("seed", -1), ("tail", -1), ("workers", 0)):
        with pytest.raises(ValueError, match=f"`{name}` must be at least .* Received: {name}={value}"):
            write_phantoms(tmp_path / "set", **{"images": 40, name: value})
    assert list(tmp_path.iterdir()) == []

import numpy as np
import pytest
from PIL import Image

from mamsf_keras.config import DataConfig
from mamsf_keras.data.batches.stream import Stream
from mamsf_keras.data.cache.prepare import prepare
from mamsf_keras.data.open import open_dataset
from mamsf_keras.reports.contact_sheet import augmented, positive_findings, write_contact_sheet

pytestmark = pytest.mark.no_keras


def test_augmented_images_equal_those_of_training(small_nih):
    stream = Stream(open_dataset(small_nih).split("train"), 16, 4, augment="light", seed=3)
    for step in (0, stream.steps_per_pass):
        row, pass_index = stream.rows(step)[0], step // stream.steps_per_pass
        expected = stream.batch(step)[0][0, :, :, 0]
        np.testing.assert_array_equal(augmented(stream, row, pass_index), expected)


def test_image_with_missing_labels_is_not_titled_no_finding():
    labels = np.array([[1, np.nan, 1], [0, 0, 0], [0, np.nan, 0], [np.nan] * 3])
    titles = [positive_findings(row, "ABC") for row in labels]
    assert titles == ["A, C", "No Finding", "no positive label", "no positive label"]


@pytest.mark.parametrize("augment", ["light", "strong"])
def test_sheet_is_a_png(small_nih, tmp_path, augment):
    write_contact_sheet(DataConfig(small_nih), tmp_path / "sheet.png", image_size=32, augment=augment)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.format == "PNG" and sheet.size == (1100, 1500)  # five columns of 2.2 and six rows of 2.5 inches
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["sheet.png"]


def test_sheet_depends_on_split_seed_and_augmentation(small_nih, tmp_path):
    options = {"image_size": 32, "images": 2, "versions": 1}
    sheets = {}
    for name, changes in (
        ("a", {}),
        ("b", {}),
        ("c", {"split": "test"}),
        ("d", {"seed": 1}),
        ("e", {"augment": "none"}),
    ):
        write_contact_sheet(DataConfig(small_nih), tmp_path / f"{name}.png", **options, **changes)
        with Image.open(tmp_path / f"{name}.png") as sheet:
            sheets[name] = np.asarray(sheet).tobytes()
    assert sheets["a"] == sheets["b"] and len(set(sheets.values())) == 4


def test_images_with_findings_come_first_and_are_shown_as_they_are(tmp_path):
    """The only image with a finding is all white, the others are black: the first row of the sheet shows white."""
    for i in range(60):
        Image.fromarray(np.full((32, 32), 255 * (i == 7), np.uint8)).save(tmp_path / f"{i}.png")
    rows = "".join(f"{i}.png,{i},{int(i == 7)}\n" for i in range(60))
    (tmp_path / "t.csv").write_text(f"path,patient,Edema\n{rows}")
    lists = "".join(f"{i}.png,{'train' if i < 40 else 'validation' if i < 50 else 'test'}\n" for i in range(60))
    (tmp_path / "lists.csv").write_text(f"image,split\n{lists}")
    data = DataConfig(tmp_path, labels_csv=tmp_path / "t.csv", protocol=f"file:{tmp_path / 'lists.csv'}")
    write_contact_sheet(data, tmp_path / "sheet.png", augment="none", images=2, versions=1)
    with Image.open(tmp_path / "sheet.png") as sheet:
        pixels = np.asarray(sheet.convert("L"))
    dark = (pixels < 5).mean(axis=1)  # of each line
    top, bottom = dark[: len(dark) // 2], dark[len(dark) // 2 :]
    assert top.mean() < 0.02 and bottom.max() > 0.8


def test_size_equals_that_of_a_cache(small_nih, tmp_path):
    prepare(open_dataset(small_nih), tmp_path / "cache", 40, workers=1)
    write_contact_sheet(DataConfig(tmp_path / "cache"), tmp_path / "sheet.png", images=1, versions=1)
    with pytest.raises(ValueError, match="Use `image_size` 40"):
        write_contact_sheet(DataConfig(tmp_path / "cache"), tmp_path / "other.png", image_size=32)
    assert not (tmp_path / "other.png").exists()

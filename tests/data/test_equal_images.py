import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mamsf_keras.config import DataConfig
from mamsf_keras.data.cache.prepare import prepare
from mamsf_keras.data.equal_images import equal_images, note_equal_images, note_equal_images_across_splits
from mamsf_keras.data.open import open_dataset
from mamsf_keras.reports.dataset import describe

pytestmark = pytest.mark.no_keras

TABLE = pd.DataFrame(
    {
        "image": list("abcdefgh"),
        "sha256": ["1", "2", "1", "2", np.nan, np.nan, "3", "3"],
        "split": ["train", "train", "test", "train", "test", "train", "train", ""],
    }
)


def test_equal_images_are_counted_in_all_and_across_splits():
    assert equal_images(TABLE)["image"].tolist() == ["a", "b", "c", "d", "g", "h"]
    assert note_equal_images(TABLE) == ("groups of images with equal pixels: 3 (first: a = c, b = d, g = h)",)
    note = "groups of images with equal pixels in more than one split: 1 (first: a = c)"
    assert note_equal_images_across_splits(TABLE) == (note,)


def test_there_is_no_note_without_equal_images():
    assert note_equal_images(TABLE[4:7]) == () == note_equal_images(TABLE[:0])
    assert note_equal_images_across_splits(TABLE[3:7]) == () == note_equal_images_across_splits(TABLE[6:])


def test_describe_prepare_and_train_find_the_same_equal_pixels(small_nih, tmp_path):
    """The second file has the pixels of the first, but other bytes."""
    one, two = (next(small_nih.rglob(name)) for name in ("00000001_000.png", "00000040_000.png"))
    with Image.open(one) as image:
        image.save(two, compress_level=0)
    assert one.read_bytes() != two.read_bytes()
    notes = (
        "groups of images with equal pixels: 1 (first: 00000001_000.png = 00000040_000.png)",
        "groups of images with equal pixels in more than one split: 1 (first: 00000001_000.png = 00000040_000.png)",
    )
    assert set(notes) <= set(describe(DataConfig(small_nih)).notes)
    cached = prepare(open_dataset(small_nih), tmp_path / "cache", 12, workers=1)
    assert notes[0] in cached.resolved.notes and cached.split_notes == notes[1:]
    assert sum(note in notes for note in describe(DataConfig(tmp_path / "cache")).notes) == 2

import hashlib

import numpy as np
import pandas as pd
import pytest

from mamsf_keras.config import DataConfig
from mamsf_keras.data.cache.prepare import prepare
from mamsf_keras.data.dataset import Dataset
from mamsf_keras.data.open import open_dataset
from tests.toys import image_dataset

pytestmark = pytest.mark.no_keras


class Store:
    """An image store without the images of some rows, which counts its look-ups."""

    image_size = None

    def __init__(self, missing):
        self.missing = missing
        self.lookups = 0

    def resolve_paths(self, table):
        self.lookups += 1
        return table[~table["image"].isin(self.missing)], (f"{len(self.missing)} missing",)


def make_dataset(missing=()):
    table = pd.DataFrame(
        {
            "image": list("abcdef"),
            "patient": list("123456"),
            "A": [1.0, 0.0, np.nan, 1.0, 0.0, 1.0],
            "B": [0.0] * 6,
            "split": ["train", "train", "", "validation", "test", "train"],
        }
    )
    return Dataset(table, ("A", "B"), Store(missing), notes=("a note",))


def test_images_are_searched_for_once_and_missing_ones_are_dropped():
    dataset = make_dataset(missing=("b",))
    assert dataset.store.lookups == 0
    resolved = dataset.resolved
    assert resolved.table["image"].tolist() == list("adef") and resolved.table.index.tolist() == list(range(4))
    assert resolved.notes == ("a note", "1 missing") and resolved.resolved is resolved
    assert dataset.resolved is resolved and dataset.split("train").resolved.is_resolved
    assert dataset.store.lookups == 1
    assert len(dataset.table) == 6 and dataset.notes == ("a note",)


def test_split_has_its_rows_in_order():
    dataset = make_dataset(missing=("e",))
    training = dataset.split("train")
    assert training.table["image"].tolist() == ["a", "b", "f"] and training.table.index.tolist() == [0, 1, 2]
    assert dataset.split("validation").table["image"].tolist() == ["d"]
    assert dataset.resolved.table["image"].tolist() == ["a", "b", "d", "f"]
    with pytest.raises(ValueError, match="The test split contains no images."):
        dataset.split("test")
    with pytest.raises(ValueError, match="`split` must be one of train, validation, test. Received: split=val."):
        dataset.split("val")
    with pytest.raises(ValueError, match="has no splits. Open it with a `protocol`"):
        dataset.unsplit.split("train")
    assert dataset.unsplit.resolved.table["image"].tolist() == list("abcdf")


def test_labels_are_float32_in_the_order_of_the_findings():
    dataset = make_dataset().with_findings(["B", "A"])
    assert dataset.findings == ("B", "A") and dataset.labels.dtype == np.float32
    np.testing.assert_array_equal(dataset.labels[:3], [[0, 1], [0, 0], [0, np.nan]])
    with pytest.raises(ValueError, match="no labels for C, D, which the model was trained on"):
        make_dataset().with_findings(["C", "A", "D"])


def test_findings_of_a_model_are_found_in_another_spelling():
    table = make_dataset().table.rename(columns={"A": "Pleural Thickening", "B": "No finding"})
    dataset = Dataset(table, ("Pleural Thickening", "No finding"), Store(()))
    renamed = dataset.with_findings(["No Finding", "Pleural_Thickening"])
    assert renamed.findings == ("No Finding", "Pleural_Thickening")
    np.testing.assert_array_equal(renamed.labels, make_dataset().with_findings(["B", "A"]).labels)
    with pytest.raises(ValueError, match=r"labels for Pleural_Thikening \(did you mean Pleural Thickening\?\), which"):
        dataset.with_findings(["Pleural_Thikening"])


def test_fingerprint_is_the_checksum_of_the_used_rows():
    rows = "image,patient,A,B,split\na,1,1.0,0.0,train\nb,2,0.0,0.0,train\nd,4,1.0,0.0,validation\n"
    rows += "e,5,0.0,0.0,test\nf,6,1.0,0.0,train\n"
    assert make_dataset().fingerprint == {"images": 5, "sha256": hashlib.sha256(rows.encode()).hexdigest()}


def test_fingerprint_does_not_depend_on_the_findings_in_use(small_nih):
    """Otherwise a run whose model lacks a finding would seem to be evaluated on other data."""
    dataset = open_dataset(small_nih)
    assert dataset.with_findings(["Mass"]).fingerprint == dataset.fingerprint


def test_fingerprint_equals_that_of_a_cache_and_changes_with_images_labels_and_splits(small_nih, tmp_path):
    dataset = open_dataset(small_nih)
    before = dataset.fingerprint
    assert prepare(dataset, tmp_path / "cache", 12, workers=1).fingerprint == before
    assert open_dataset(tmp_path / "cache").fingerprint == before
    other_split = open_dataset(DataConfig(small_nih, protocol="random-patient")).fingerprint
    next(small_nih.rglob("00000003_001.png")).unlink()
    one_less = open_dataset(DataConfig(small_nih, allow_missing=True)).fingerprint
    table = small_nih / "Data_Entry_2017.csv"
    table.write_text(table.read_text().replace("No Finding", "Hernia", 1))
    other_label = open_dataset(DataConfig(small_nih, allow_missing=True)).fingerprint
    assert (before["images"], one_less["images"], other_label["images"]) == (80, 79, 79)
    assert len({found["sha256"] for found in (before, other_split, one_less, other_label)}) == 4


def test_images_are_opened_by_row(tmp_path):
    dataset = image_dataset(tmp_path, images=3)
    read = dataset.open_images(16)
    for row in range(3):
        expected = np.random.default_rng(row).integers(0, 256, (16, 16), dtype=np.uint8)
        np.testing.assert_array_equal(read(row), expected)
    assert dataset.image_size is None

import logging

import filelock
import numpy as np
import pytest

from mamsf_keras.config import DataConfig, LabelsCsv, TrainConfig
from mamsf_keras.data.cache.layout import default_cache_dir
from mamsf_keras.data.cache.prepare import UnreadableImages, prepare
from mamsf_keras.data.open import open_dataset, prepared, relocated
from mamsf_keras.data.splits import official_split
from mamsf_keras.findings import FINDINGS
from tests.toys import contents

pytestmark = pytest.mark.no_keras


def write_table(folder):
    (folder / "labels.csv").write_text("path,patient,Edema\n" + "".join(f"{i}.png,{i},{i % 2}\n" for i in range(60)))
    return folder / "labels.csv"


def test_a_path_is_an_nih_folder_or_a_cache_with_the_official_split(small_nih, tmp_path):
    files = open_dataset(small_nih)
    np.testing.assert_array_equal(files.table["split"], official_split(files.table))
    assert (files.protocol, files.findings, files.image_size) == ("official", FINDINGS, None)
    prepare(files, tmp_path / "cache", 12, workers=1)
    cached = open_dataset(tmp_path / "cache")
    assert cached.table["split"].tolist() == files.table["split"].tolist() and cached.image_size == 12


def test_a_table_of_labels_is_read_and_split(tmp_path):
    labels = write_table(tmp_path)
    dataset = open_dataset(DataConfig(tmp_path, labels_csv=labels, protocol="random-patient"))
    assert dataset.findings == ("Edema",) and set(dataset.table["split"]) == {"train", "validation", "test"}
    assert "split" not in open_dataset(DataConfig(tmp_path, labels_csv=labels, protocol=None)).table
    with pytest.raises(ValueError, match="Only the NIH tables have an official split"):
        open_dataset(DataConfig(tmp_path, labels_csv=labels))


def test_cache_has_its_own_labels(small_nih, tmp_path):
    prepare(open_dataset(small_nih), tmp_path / "cache", image_size=12, workers=1)
    with pytest.raises(ValueError, match="is a cache and has its own labels. Leave out `labels_csv`"):
        open_dataset(DataConfig(tmp_path / "cache", labels_csv="labels.csv"))


def test_split_does_not_depend_on_which_images_are_there(small_nih):
    whole = open_dataset(small_nih).table.set_index("image")["split"]
    for path in sorted(small_nih.rglob("*.png"))[::3]:
        path.unlink()
    partial = open_dataset(DataConfig(small_nih, allow_missing=27)).resolved.table.set_index("image")["split"]
    assert len(partial) == 53 and (partial == whole[partial.index]).all()


def test_prepared_makes_a_cache_and_then_only_reads_it(small_nih, tmp_path, caplog):
    config = TrainConfig(small_nih, image_size=32, cache=tmp_path / "cache")
    with caplog.at_level(logging.INFO):
        cached = prepared(open_dataset(config), config)
        assert cached.image_size == 32 and len(cached.resolved.table) == 80
        before = contents(tmp_path / "cache")
        prepared(open_dataset(config), config)
    assert contents(tmp_path / "cache") == before
    assert [record.message for record in caplog.records] == [
        f"decoding all images once into the cache {tmp_path / 'cache'}"
    ]


def test_prepared_uses_the_cache_of_the_user_by_default(small_nih, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    config = TrainConfig(small_nih, image_size=32)
    cached = prepared(open_dataset(config), config)
    assert cached.store.cache_dir == default_cache_dir(config, 32)
    assert cached.store.cache_dir.is_relative_to(tmp_path / "caches")


def test_prepared_leaves_originals_as_they_are_without_a_cache(small_nih):
    config = TrainConfig(small_nih, image_size=32, cache="none")
    dataset = open_dataset(config)
    assert prepared(dataset, config) is dataset


def test_prepared_checks_the_image_size_of_a_cache(small_nih, tmp_path):
    prepare(open_dataset(small_nih), tmp_path / "cache", 32, workers=1)
    dataset = open_dataset(tmp_path / "cache")
    assert prepared(dataset, TrainConfig(tmp_path / "cache", image_size=32)) is dataset
    with pytest.raises(ValueError, match="has images of 32 pixels. Use `image_size` 32, .* Received: image_size=64"):
        prepared(dataset, TrainConfig(tmp_path / "cache", image_size=64))


def test_unreadable_image_must_be_allowed_before_a_run(small_nih, tmp_path):
    next(small_nih.rglob("00000003_001.png")).write_bytes(b"no image")
    config = TrainConfig(small_nih, image_size=32, cache=tmp_path / "cache")
    with pytest.raises(UnreadableImages, match="1 of 80 images cannot be read") as error:
        prepared(open_dataset(config), config)
    assert (error.value.count, error.value.cache_dir, error.value.image_size) == (1, tmp_path / "cache", 32)
    with pytest.raises(ValueError, match="cache is not finished. Run the same `mamsf-keras prepare` command again"):
        open_dataset(tmp_path / "cache")
    prepare(open_dataset(config), tmp_path / "cache", 32, workers=1, allow_rejected=error.value.count)
    assert len(prepared(open_dataset(config), config).resolved.table) == 79


def test_allowed_rejected_images_are_not_retried_in_each_run(small_nih, tmp_path):
    next(small_nih.rglob("00000003_001.png")).write_bytes(b"no image")
    config = TrainConfig(small_nih, image_size=32, cache=tmp_path / "cache")
    prepare(open_dataset(config), tmp_path / "cache", image_size=32, workers=1, allow_rejected=1)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*") if path.is_file()}
    with filelock.FileLock(tmp_path / "cache" / ".lock"):
        assert len(prepared(open_dataset(config), config).resolved.table) == 79
    after = {path: path.stat().st_mtime_ns for path in before}
    assert [path.name for path in before if before[path] != after[path]] in ([], [".lock"])


def test_configuration_is_moved_to_another_folder_or_to_a_cache(small_nih, tmp_path):
    labels = write_table(tmp_path)
    config = DataConfig(tmp_path, labels_csv=LabelsCsv(labels, blank="negative"), protocol="random-patient")
    assert relocated(config, None) == relocated(config, tmp_path) == config
    assert relocated(config, None, allow_missing=True) == DataConfig(
        tmp_path, labels_csv=LabelsCsv(labels, blank="negative"), protocol="random-patient", allow_missing=True
    )
    (tmp_path / "other").mkdir()
    assert relocated(config, tmp_path / "other") == DataConfig(
        tmp_path / "other", labels_csv=LabelsCsv(labels, blank="negative"), protocol="random-patient"
    )
    prepare(open_dataset(small_nih), tmp_path / "cache", image_size=32, workers=1)
    assert relocated(config, tmp_path / "cache") == DataConfig(tmp_path / "cache", protocol="random-patient")
    run = TrainConfig(small_nih, cache=tmp_path / "cache", epochs=3)
    assert relocated(run, tmp_path / "cache") == TrainConfig(tmp_path / "cache", epochs=3)


def test_images_that_the_protocol_leaves_out_may_be_missing(small_nih, tmp_path):
    """Patient 1 has no finding. The cache holds all images, so making one needs them all."""
    next(small_nih.rglob("00000001_000.png")).unlink()
    diseases = open_dataset(DataConfig(small_nih, protocol="disease-only"))
    assert len(diseases.resolved.table) == 32
    with pytest.raises(ValueError, match="1 of 80 images"):
        _ = open_dataset(small_nih).resolved
    with pytest.raises(ValueError, match="1 of 80 images"):
        prepare(diseases, tmp_path / "cache", 12, workers=1)


def test_cache_does_not_depend_on_the_protocol_it_was_made_under(small_nih, tmp_path):
    for protocol in ("official", "disease-only", None):
        prepare(open_dataset(DataConfig(small_nih, protocol=protocol)), tmp_path / str(protocol), 12, workers=1)
    assert contents(tmp_path / "official") == contents(tmp_path / "disease-only") == contents(tmp_path / "None")

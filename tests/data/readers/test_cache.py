import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mamsf_keras.config import DataConfig
from mamsf_keras.data.batches.stream import Stream
from mamsf_keras.data.cache.layout import read_meta
from mamsf_keras.data.cache.prepare import prepare
from mamsf_keras.data.open import open_dataset
from mamsf_keras.data.readers.cache import read, read_cache, recognizes
from mamsf_keras.images.gray import read_gray
from mamsf_keras.reports.dataset import describe
from tests.toys import contents

pytestmark = pytest.mark.no_keras


@pytest.fixture
def cache_dir(small_nih, tmp_path):
    """A cache of `small_nih` with images of 12 pixels."""
    prepare(open_dataset(small_nih), tmp_path / "cache", image_size=12, workers=1)
    return tmp_path / "cache"


def test_stream_of_a_cache_equals_that_of_the_files(small_nih, cache_dir):
    meta = read_meta(cache_dir)
    assert (meta["images"], meta["rejected"], list(meta["shards"])) == (80, 0, ["00000.npy"])
    for split in ("train", "validation", "test"):
        files, cached = (open_dataset(folder).split(split) for folder in (small_nih, cache_dir))
        assert files.table["image"].tolist() == cached.table["image"].tolist()
        assert files.table["patient"].tolist() == cached.table["patient"].tolist()
        streams = [Stream(dataset, 12, 4, augment="light", seed=3) for dataset in (files, cached)]
        for step in range(2 * streams[0].steps_per_pass):
            for one, two in zip(*(stream.batch(step) for stream in streams), strict=True):
                np.testing.assert_array_equal(one, two)


def test_shards_hold_the_resized_pixels_and_their_checksums(small_nih, tmp_path):
    prepare(open_dataset(small_nih), tmp_path / "cache", image_size=12, workers=1, shard_images=32)
    dataset = read_cache(tmp_path / "cache").resolved
    pixels = dataset.open_images(12)
    for row, image in enumerate(dataset.table["image"]):
        expected = read_gray(small_nih / "images_001" / "images" / image, 12)
        np.testing.assert_array_equal(pixels(row), expected)
    shards, meta = tmp_path / "cache" / "shards", read_meta(tmp_path / "cache")
    shapes = [(32, 12, 12), (32, 12, 12), (16, 12, 12)]
    assert [np.load(shards / name).shape for name in meta["shards"]] == shapes
    for name, checksum in meta["shards"].items():
        assert hashlib.sha256((shards / name).read_bytes()).hexdigest() == checksum


def test_more_shards_than_files_may_be_open(small_nih, tmp_path):
    prepare(open_dataset(small_nih), tmp_path / "cache", image_size=12, workers=1, shard_images=1)
    code = f"""
import resource
from mamsf_keras import open_dataset
resource.setrlimit(resource.RLIMIT_NOFILE, (60, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
dataset = open_dataset({str(tmp_path / "cache")!r}).resolved
pixels = dataset.open_images(12)
print(sum(pixels(row).shape == (12, 12) for row in range(len(dataset.table))))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "80\n", done.stderr


def test_cache_is_recognized_even_unfinished(small_nih, cache_dir):
    assert recognizes(DataConfig(cache_dir)) and not recognizes(DataConfig(small_nih))
    (cache_dir / "meta.json").unlink()
    assert recognizes(DataConfig(cache_dir))
    with pytest.raises(ValueError, match="is not finished. Run the same `mamsf-keras prepare` command again"):
        read(DataConfig(cache_dir))


def test_table_equals_that_of_the_originals(small_nih, cache_dir):
    files, cached = (open_dataset(folder).resolved for folder in (small_nih, cache_dir))
    for column in files.table.columns.drop("path"):
        assert files.table[column].tolist() == cached.table[column].tolist(), column
    assert cached.findings == files.findings
    assert cached.table[["height", "width"]].drop_duplicates().to_numpy().tolist() == [[16, 16]]


def test_names_that_spell_missing_and_ages_in_days_survive_the_cache(tmp_path):
    names = ["NA", "nan", "null", "None"]
    for number, name in enumerate(names):
        Image.fromarray(np.full((8, 8), number, np.uint8)).save(tmp_path / name, format="png")
    rows = [f"{name},P{name},{i % 2},{100 * i + 11}D,NA,None" for i, name in enumerate(names)]
    (tmp_path / "labels.csv").write_text("\n".join(["image,patient,X,age,sex,view", *rows]) + "\n")
    files = open_dataset(DataConfig(tmp_path, labels_csv=tmp_path / "labels.csv", protocol=None))
    cached = prepare(files, tmp_path / "cache", 8, workers=1)
    assert cached.resolved.table["image"].tolist() == names
    assert cached.fingerprint == files.fingerprint
    for column in files.table.columns.drop("X"):
        assert cached.table[column].astype(str).tolist() == files.table[column].astype(str).tolist(), column
    lists = tmp_path / "split.csv"
    lists.write_text("image,split\nNA,train\nnan,validation\nnull,test\nNone,train\n")
    cached = open_dataset(DataConfig(tmp_path / "cache", protocol=f"file:{lists}"))
    assert cached.table["split"].tolist() == ["train", "validation", "test", "train"]


def test_images_that_are_not_in_the_cache_are_counted(small_nih, tmp_path):
    next(small_nih.rglob("00000003_001.png")).write_bytes(b"no image")
    next(small_nih.rglob("00000004_000.png")).unlink()
    originals = open_dataset(DataConfig(small_nih, allow_missing=True))
    dataset = prepare(originals, tmp_path / "cache", 12, workers=1, allow_rejected=1)
    assert "78 images of 12 x 12 pixels, 11.0 KiB, from" in dataset.notes[0]
    assert dataset.notes[0].endswith("; 2 of 80 images of the tables are missing or rejected and are left out")
    assert (len(dataset.table), len(dataset.resolved.table)) == (80, 78)
    assert dataset.table["row"].isna().sum() == 2


def test_labels_of_another_table_are_refused(cache_dir):
    for function in (read, open_dataset, describe):
        with pytest.raises(ValueError, match="is a cache and has its own labels. Leave out `labels_csv`"):
            function(DataConfig(cache_dir, labels_csv="none.csv"))


def test_equal_pixels_in_two_splits_are_noted(small_nih, tmp_path):
    one, two = (next(small_nih.rglob(name)) for name in ("00000001_000.png", "00000040_000.png"))
    two.write_bytes(one.read_bytes())
    prepare(open_dataset(small_nih), tmp_path / "cache", image_size=12, workers=1)
    notes = open_dataset(tmp_path / "cache").split_notes
    assert "in more than one split: 1 (first: 00000001_000.png = 00000040_000.png)" in notes[-1]


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:900])])
def test_missing_or_truncated_index_is_refused_and_rebuilt(small_nih, cache_dir, damage):
    before = contents(cache_dir)
    damage(cache_dir / "index.csv")
    with pytest.raises(ValueError, match=r"index.csv is missing or damaged. Run `mamsf-keras prepare` again"):
        open_dataset(cache_dir)
    prepare(open_dataset(small_nih), cache_dir, image_size=12, workers=1)
    assert contents(cache_dir) == before


def test_edited_list_of_rejected_images_has_no_effect_and_is_rebuilt(small_nih, tmp_path):
    next(small_nih.rglob("00000003_001.png")).write_bytes(b"no image")
    cache_dir = tmp_path / "cache"
    prepare(open_dataset(small_nih), cache_dir, image_size=12, workers=1, allow_rejected=1)
    before = contents(cache_dir)
    for text in ('image,error\nx.png,"open\n', "", "image;error\n"):
        (cache_dir / "rejected.csv").write_text(text)
        assert len(open_dataset(cache_dir).resolved.table) == 79
        with pytest.raises(ValueError, match="1 of 80 images cannot be read"):
            prepare(open_dataset(small_nih), cache_dir, image_size=12, workers=1)
        prepare(open_dataset(small_nih), cache_dir, image_size=12, workers=1, allow_rejected=1)
        assert contents(cache_dir) == before


def test_truncated_shard_is_named_before_training(cache_dir):
    dataset = open_dataset(cache_dir).split("train")
    shard = cache_dir / "shards" / "00000.npy"
    shard.write_bytes(shard.read_bytes()[:300])
    with pytest.raises(ValueError, match="00000.npy is missing or damaged"):
        Stream(dataset, 12, 4)


def test_another_image_size_is_refused(cache_dir):
    dataset = open_dataset(cache_dir).split("train")
    words = "images of 12 pixels. Use `image_size` 12, or prepare another cache. Received: image_size=16"
    with pytest.raises(ValueError, match=words):
        Stream(dataset, 16, 4)

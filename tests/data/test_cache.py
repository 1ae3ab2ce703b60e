import hashlib
import subprocess
import sys
from pathlib import Path

import filelock
import numpy as np
import pytest

from mamsf_keras.config import DataConfig, TrainConfig
from mamsf_keras.data import prepare as making
from mamsf_keras.data.cache import read_cache
from mamsf_keras.data.describe import describe
from mamsf_keras.data.folder import read_run_data, read_split
from mamsf_keras.data.image import read_grey
from mamsf_keras.data.prepare import prepare
from mamsf_keras.data.stream import Stream, subset

pytestmark = pytest.mark.no_keras

FINDINGS = ("Effusion", "Mass")


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def test_stream_of_the_cache_is_that_of_the_files(small_nih, tmp_path):
    meta = prepare(DataConfig(small_nih), tmp_path / "cache", image_size=12, workers=1)
    assert (meta["images"], meta["rejected"], list(meta["shards"])) == (80, 0, ["00000.npy"])
    for part in ("train", "validation", "test"):
        files, cached = (
            subset(read_split(DataConfig(folder)).table, part) for folder in (small_nih, tmp_path / "cache")
        )
        assert files["image"].tolist() == cached["image"].tolist()
        assert files["patient"].tolist() == cached["patient"].tolist()
        streams = [Stream(table, FINDINGS, 12, 4, augment="light", seed=3) for table in (files, cached)]
        for step in range(2 * streams[0].batches):
            for one, two in zip(*(stream.batch(step) for stream in streams), strict=True):
                np.testing.assert_array_equal(one, two)


def test_shards_hold_the_resized_pixels_and_their_checksums(small_nih, tmp_path, monkeypatch):
    monkeypatch.setattr(making, "SHARD_IMAGES", 32)
    meta = prepare(DataConfig(small_nih), tmp_path / "cache", image_size=12, workers=1)
    table = read_cache(tmp_path / "cache").table
    for image, path, row in table[["image", "path", "row"]].itertuples(index=False):
        expected = read_grey(small_nih / "images_001" / "images" / image, 12)
        np.testing.assert_array_equal(np.load(path)[int(row)], expected)
    assert [np.load(tmp_path / "cache" / "shards" / name).shape for name in meta["shards"]] == [
        (32, 12, 12),
        (32, 12, 12),
        (16, 12, 12),
    ]
    for name, checksum in meta["shards"].items():
        assert hashlib.sha256((tmp_path / "cache" / "shards" / name).read_bytes()).hexdigest() == checksum


def test_finished_cache_is_shared_and_written_no_more(small_nih, tmp_path):
    meta = prepare(DataConfig(small_nih), tmp_path / "cache", image_size=12, workers=1)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*")}
    with filelock.FileLock(tmp_path / "cache" / ".lock"):
        assert prepare(DataConfig(small_nih), tmp_path / "cache", image_size=12, workers=1) == meta
    after = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*") if path.name != ".lock"}
    assert after == {path: time for path, time in before.items() if path.name != ".lock"}


def test_rejected_images_that_are_allowed_are_not_tried_at_each_run(small_nih, tmp_path):
    next(small_nih.rglob("00000003_001.png")).write_bytes(b"no image")
    prepare(DataConfig(small_nih), tmp_path / "cache", image_size=32, workers=1, allow_rejected=1)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*") if path.is_file()}
    config = TrainConfig(small_nih, image_size=32, cache_dir=tmp_path / "cache")
    with filelock.FileLock(tmp_path / "cache" / ".lock"):
        assert len(read_run_data(config).table) == 79
    after = {path: path.stat().st_mtime_ns for path in before}
    assert [path.name for path in before if before[path] != after[path]] in ([], [".lock"])


def test_more_shards_than_files_may_be_open(small_nih, tmp_path, monkeypatch):
    monkeypatch.setattr(making, "SHARD_IMAGES", 1)
    prepare(DataConfig(small_nih), tmp_path / "cache", image_size=12, workers=1)
    code = f"""
import resource
from mamsf_keras import DataConfig
from mamsf_keras.data.folder import read_run_data, read_split
from mamsf_keras.data.stream import Stream
resource.setrlimit(resource.RLIMIT_NOFILE, (60, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
table = read_split(DataConfig({str(tmp_path / "cache")!r})).table
stream = Stream(table, ("Mass",), 12, 4)
print(sum(stream.read(row).shape == (12, 12) for row in range(len(table))))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "80\n", done.stderr


def test_a_table_that_changed_in_nothing_that_matters_is_accepted(small_nih, tmp_path):
    meta = prepare(DataConfig(small_nih), tmp_path / "cache", image_size=12, workers=1)
    table = small_nih / "Data_Entry_2017.csv"
    table.write_bytes(table.read_bytes().replace(b"\n", b"\r\n"))
    assert prepare(DataConfig(small_nih), tmp_path / "cache", image_size=12, workers=1) == meta


def test_label_options_without_a_table_are_refused(small_nih, tmp_path):
    with pytest.raises(
        ValueError,
        match=r"`uncertain` must come with `labels_csv` \(a cache has its labels\). Received: uncertain=positive",
    ):
        DataConfig(small_nih, uncertain="positive")
    prepare(DataConfig(small_nih), tmp_path / "cache", image_size=12, workers=1)
    with pytest.raises(ValueError, match="is a cache and has its own labels"):
        read_split(DataConfig(tmp_path / "cache", labels_csv="labels.csv", uncertain="positive"))


def test_equal_pixels_in_two_parts_are_reported(small_nih, tmp_path):
    one, two = (next(small_nih.rglob(name)) for name in ("00000001_000.png", "00000040_000.png"))
    two.write_bytes(one.read_bytes())
    prepare(DataConfig(small_nih), tmp_path / "cache", image_size=12, workers=1)
    notes = read_split(DataConfig(tmp_path / "cache")).notes
    assert "in more than one part: 1 (first: 00000001_000.png = 00000040_000.png)" in notes[-1]


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:900])])
def test_lost_or_cut_index_is_said_and_made_again(small_nih, tmp_path, damage):
    prepare(DataConfig(small_nih), tmp_path / "cache", image_size=12, workers=1)
    before = contents(tmp_path / "cache")
    damage(tmp_path / "cache" / "index.csv")
    with pytest.raises(ValueError, match=r"index.csv is lost or damaged: run `mamsf-keras prepare` again"):
        read_split(DataConfig(tmp_path / "cache"))
    prepare(DataConfig(small_nih), tmp_path / "cache", image_size=12, workers=1)
    assert contents(tmp_path / "cache") == before


@pytest.mark.parametrize("name", ["meta.json", "plan.json"])
def test_cut_json_is_named_with_the_way_out(small_nih, tmp_path, name):
    prepare(DataConfig(small_nih), tmp_path / "cache", image_size=12, workers=1)
    path = tmp_path / "cache" / name
    path.write_text(path.read_text()[:50])
    with pytest.raises(ValueError, match=f"{name} is damaged: remove .* run `mamsf-keras prepare` again"):
        prepare(DataConfig(small_nih), tmp_path / "cache", image_size=12, workers=1)


def test_a_cut_shard_is_named_in_training(small_nih, tmp_path):
    prepare(DataConfig(small_nih), tmp_path / "cache", image_size=12, workers=1)
    table = subset(read_split(DataConfig(tmp_path / "cache")).table, "train")
    shard = tmp_path / "cache" / "shards" / "00000.npy"
    shard.write_bytes(shard.read_bytes()[:300])
    with pytest.raises(ValueError, match="00000.npy is lost or damaged"):
        Stream(table, FINDINGS, 12, 4)


def test_labels_of_another_table_are_refused_for_a_cache(small_nih, tmp_path):
    prepare(DataConfig(small_nih), tmp_path / "cache", image_size=12, workers=1)
    for read in (read_split, describe):
        with pytest.raises(ValueError, match="is a cache and has its own labels"):
            read(DataConfig(tmp_path / "cache", labels_csv="none.csv"))


def test_wrong_size_is_said(small_nih, tmp_path):
    prepare(DataConfig(small_nih), tmp_path / "cache", image_size=12, workers=1)
    table = subset(read_split(DataConfig(tmp_path / "cache")).table, "train")
    with pytest.raises(ValueError, match="images of 12 pixels, not 16: use it with an image size of 12"):
        Stream(table, FINDINGS, 16, 4)

import csv
import hashlib
import os

import numpy as np
import pytest
from PIL import Image

from mamsf_keras.data.cache.shard import Shard, is_current, make_shard, open_shard, records_path, refresh

pytestmark = pytest.mark.no_keras


@pytest.fixture
def shard(tmp_path):
    """A shard of two images, of 12 x 12 and 8 x 10 pixels, and of a file that is not an image."""
    for name, shape in (("a.png", (12, 12)), ("b.png", (8, 10))):
        Image.fromarray(np.random.default_rng(shape[0]).integers(0, 256, shape, dtype=np.uint8)).save(tmp_path / name)
    (tmp_path / "c.png").write_bytes(b"no image")
    return Shard([str(tmp_path / f"{name}.png") for name in "abc"], tmp_path / "00000.npy", 12)


def records(shard):
    return records_of(shard.records.read_text())


def records_of(text):
    return list(csv.DictReader(text.splitlines()))


def test_shard_holds_resized_images_and_black_where_there_is_none(shard):
    assert make_shard(shard) == 3
    pixels = np.load(shard.path)
    assert pixels.shape == (3, 12, 12) and pixels.dtype == np.uint8
    with Image.open(shard.images[0]) as a, Image.open(shard.images[1]) as b:
        np.testing.assert_array_equal(pixels[0], np.asarray(a))
        np.testing.assert_array_equal(pixels[1], np.asarray(b.resize((12, 12), Image.Resampling.BILINEAR)))
    assert (pixels[2] == 0).all()


def test_record_has_the_original_size_hash_and_error(shard, tmp_path):
    make_shard(shard)
    a, b, c = records(shard)
    assert [(r["height"], r["width"], r["note"], r["error"]) for r in (a, b)] == [
        ("12", "12", "", ""),
        ("8", "10", "", ""),
    ]
    assert [r["bytes"] for r in (a, b, c)] == [str((tmp_path / f"{name}.png").stat().st_size) for name in "abc"]
    with Image.open(shard.images[1]) as image:
        assert b["sha256"] == hashlib.sha256(b"(8, 10)" + image.tobytes()).hexdigest()
    assert "c.png cannot be read as an image" in c["error"] and c["sha256"] == ""
    assert shard.records == records_path(shard.path) == tmp_path / "00000.csv"


def test_equal_inputs_give_equal_files(shard):
    make_shard(shard)
    before = shard.path.read_bytes(), shard.records.read_bytes()
    make_shard(shard)
    assert (shard.path.read_bytes(), shard.records.read_bytes()) == before
    assert sorted(path.name for path in shard.path.parent.iterdir()) == [
        "00000.csv",
        "00000.npy",
        *"a.png b.png c.png".split(),
    ]


def test_shard_is_current_until_its_files_or_images_change(shard, tmp_path):
    assert not is_current(shard)
    make_shard(shard)
    assert is_current(shard)
    good = Shard(shard.images[:2], tmp_path / "00001.npy", 12)
    make_shard(good)
    assert is_current(good)
    for other in (Shard(good.images[:1], good.path, 12), Shard(good.images, good.path, 13)):
        assert not is_current(other)
    for path in (good.path, good.records, tmp_path / "a.png"):
        content, times = path.read_bytes(), (path.stat().st_atime_ns, path.stat().st_mtime_ns)
        path.write_bytes(content[:-20])
        os.utime(path, ns=times)
        assert not is_current(good) and not refresh(good), path
        path.write_bytes(content)
        os.utime(path, ns=times)
        assert is_current(good) and refresh(good)
    good.records.unlink()
    assert not is_current(good)


def test_new_modification_time_is_compared_by_checksum_and_then_kept(shard, tmp_path):
    make_shard(shard)
    before = shard.records.read_text()
    path = tmp_path / "a.png"
    content = path.read_bytes()
    os.utime(path, ns=(10**18, 10**18))
    assert not is_current(shard) and shard.records.read_text() == before
    assert refresh(shard) and is_current(shard)
    assert shard.records.read_text() == before.replace(records_of(before)[0]["modified"], str(10**18))
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))  # of the same size
    os.utime(path, ns=(2 * 10**18, 2 * 10**18))
    assert not is_current(shard) and not refresh(shard)


def test_rejected_image_is_retried_and_a_missing_one_is_rejected(shard, tmp_path):
    (tmp_path / "b.png").unlink()
    make_shard(shard)
    assert [bool(record["error"]) for record in records(shard)] == [False, True, True]
    assert is_current(shard) and refresh(shard)
    good, times = (tmp_path / "a.png").read_bytes(), (10**18, 10**18)
    os.utime(tmp_path / "c.png", ns=times)
    assert refresh(shard)
    (tmp_path / "c.png").write_bytes(good)
    assert not is_current(shard) and not refresh(shard)
    make_shard(shard)
    (tmp_path / "b.png").write_bytes(good)
    assert not is_current(shard) and not refresh(shard)


def test_opened_shard_is_mapped_and_read_only(shard):
    make_shard(shard)
    pixels = open_shard(shard.path)
    assert type(pixels) is np.ndarray and isinstance(pixels.base, np.memmap)
    np.testing.assert_array_equal(pixels, np.load(shard.path))
    with pytest.raises(ValueError, match="read-only"):
        pixels[0] = 1


@pytest.mark.parametrize("length", [0, 5, 100, 300, None])
def test_lost_or_damaged_shard_is_refused(shard, length):
    make_shard(shard)
    if length is None:
        shard.path.unlink()
    else:
        shard.path.write_bytes(shard.path.read_bytes()[:length])
    with pytest.raises(ValueError, match="00000.npy is missing or damaged. Run `mamsf-keras prepare` again"):
        open_shard(shard.path)

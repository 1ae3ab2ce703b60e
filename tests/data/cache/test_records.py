import hashlib
import os

import numpy as np
import pytest
from PIL import Image

from mamsf_keras.data.cache.records import (
    Record,
    can_be_read,
    file_checksum,
    read_records,
    size_and_time,
    updated,
    write_records,
)

pytestmark = pytest.mark.no_keras


def record_of(path, **fields):
    return Record("", "", "", str(path), *size_and_time(path), file_checksum(path), "", "")._replace(**fields)


@pytest.fixture
def path(tmp_path):
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def test_records_are_read_as_they_were_written(tmp_path, path):
    records = [record_of(path, note='a, "b"'), record_of(tmp_path / "none", error="no such file")]
    write_records(tmp_path / "r.csv", records)
    assert read_records(tmp_path / "r.csv") == records
    assert records[0].checksum == hashlib.sha256(path.read_bytes()).hexdigest()
    assert records[0].bytes == str(path.stat().st_size) and records[0].modified == str(path.stat().st_mtime_ns)
    assert (records[1].bytes, records[1].modified, records[1].checksum) == ("", "", "")


@pytest.mark.parametrize("damage", [lambda text: "", lambda text: text[:-20], lambda text: text.replace("sha256", "x")])
def test_damaged_records_are_none(tmp_path, path, damage):
    assert read_records(tmp_path / "r.csv") is None
    write_records(tmp_path / "r.csv", [record_of(path, note="n", error="e" * 5)])
    (tmp_path / "r.csv").write_text(damage((tmp_path / "r.csv").read_text()))
    assert read_records(tmp_path / "r.csv") is None


def test_files_that_cannot_be_accessed_have_blank_fields(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    for path in (tmp_path / "none", tmp_path / "loop", tmp_path / ("x" * 300), tmp_path):
        assert file_checksum(path) == "" and not can_be_read(path)
        assert (size_and_time(path) == ("", "")) == (path != tmp_path)


def test_record_describes_its_file_until_size_or_content_change(path):
    record, content = record_of(path), path.read_bytes()
    assert updated(record, str(path)) == record
    os.utime(path, ns=(10**18, 10**18))
    assert updated(record, str(path)) == record._replace(modified=str(10**18))
    path.write_bytes(content[:-1] + b"x")
    assert updated(record, str(path)) is None
    path.write_bytes(content + b"x")
    assert updated(record, str(path)) is None
    path.unlink()
    assert updated(record, str(path)) is None


def test_record_of_an_error_holds_until_the_image_can_be_read(path):
    content = path.read_bytes()
    path.write_bytes(b"no image")
    record = record_of(path, error="no image")
    assert updated(record, str(path)) == record
    path.write_bytes(content)
    assert updated(record_of(path, error="input/output error"), str(path)) is None

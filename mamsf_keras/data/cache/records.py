"""The records of a cache: for each image the result of reading it, and the state of its original file at that time.

Cheap to import, because every worker process imports it.
"""

import contextlib
import csv
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from mamsf_keras.images.gray import read_with_note
from mamsf_keras.storage import atomic_write, checksum


class Record(NamedTuple):
    """The record of an image, as text.

    `sha256`, `height` and `width` describe the pixels before they were resized. `bytes`, `modified` (in nanoseconds
    since 1970) and `checksum` (SHA-256) describe the file; they are blank if it could not be accessed. `error` is blank
    unless the image was rejected.
    """

    sha256: str
    height: str
    width: str
    path: str
    bytes: str
    modified: str
    checksum: str
    note: str
    error: str


def read_records(path: str | Path) -> list[Record] | None:
    """Reads the records of a shard, or returns None if they are missing or damaged."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            header, *rows = csv.reader(file)
        return [Record(*row) for row in rows] if header == list(Record._fields) else None
    except (FileNotFoundError, ValueError, TypeError, csv.Error):
        return None


def write_records(path: str | Path, records: Iterable[Record]) -> None:
    """Writes the records of a shard atomically."""
    with atomic_write(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([Record._fields, *records])


def size_and_time(path: str | Path) -> tuple[str, str]:
    """Returns the size and the modification time of a file, or two blanks if it cannot be accessed."""
    try:
        status = os.stat(path)
    except OSError:
        return "", ""
    return str(status.st_size), str(status.st_mtime_ns)


def file_checksum(path: str | Path) -> str:
    """Returns the SHA-256 of a file, blank if it cannot be read."""
    with contextlib.suppress(OSError):
        return checksum(path) or ""
    return ""


def can_be_read(path: str | Path) -> bool:
    """Returns True if an image can be read."""
    with contextlib.suppress(ValueError, OSError, ImportError):
        read_with_note(path)
        return True
    return False


def updated(record: Record, path: str) -> Record | None:
    """Returns the record of a file with its current modification time, or None if it no longer describes the file.

    Equal size and modification time count as unchanged. If only the time differs, the checksums decide.
    """
    size, modified = size_and_time(path)
    if (size, modified) != (record.bytes, record.modified):
        if size != record.bytes or file_checksum(path) != record.checksum:
            return None
    if record.error and can_be_read(path):
        return None
    return record._replace(modified=modified)

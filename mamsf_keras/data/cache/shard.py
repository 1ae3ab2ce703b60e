"""Makes, checks and maps one shard of a cache. Cheap to import, because every worker process imports it."""

import io
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mamsf_keras.data.cache.records import (
    Record,
    can_be_read,
    file_checksum,
    read_records,
    size_and_time,
    updated,
    write_records,
)
from mamsf_keras.images.gray import read_with_note, resize
from mamsf_keras.images.pixel_hash import pixel_hash
from mamsf_keras.storage import atomic_write

PIXEL_COLUMNS = ["sha256", "height", "width"]
"""Properties of the pixels of an original before resizing."""
NPY_HEADER = 128
"""Bytes before the pixels of a `.npy` file."""


class Shard(NamedTuple):
    """A shard to make: the paths of its images, its own path, and the height and width of its images in pixels."""

    images: list[str]
    path: Path
    image_size: int

    @property
    def records(self) -> Path:
        """Path of the records: a CSV file with one row per image."""
        return records_path(self.path)


def records_path(shard_path: str | Path) -> Path:
    """Returns the path of the records of a shard."""
    return Path(shard_path).with_suffix(".csv")


def make_shard(shard: Shard) -> int:
    """Writes a shard and then its records. An image that cannot be read is black, and its record has the error.

    Returns:
        The number of its images.
    """
    pixels = np.zeros((len(shard.images), shard.image_size, shard.image_size), np.uint8)
    records = []
    for row, path in enumerate(shard.images):
        gray, record = _read(path)
        records.append(record)
        if gray is not None:
            pixels[row] = resize(gray, shard.image_size)
    content = io.BytesIO()  # NumPy does not report a full disk when it writes to a file itself
    np.save(content, pixels)
    with atomic_write(shard.path) as temporary:
        temporary.write_bytes(content.getbuffer())
    write_records(shard.records, records)
    return len(shard.images)


def _read(path) -> tuple[np.ndarray | None, Record]:
    """Reads an image and its record. Its size and time are recorded first, so that a later change is noticed."""
    size, modified = size_and_time(path)
    record = Record("", "", "", path, size, modified, file_checksum(path), "", "")
    try:
        gray, note = read_with_note(path)
    except ValueError as error:
        return None, record._replace(error=str(error))
    height, width = map(str, gray.shape)
    return gray, record._replace(sha256=pixel_hash(gray), height=height, width=width, note=note)


def is_current(shard: Shard) -> bool:
    """Returns True if a shard is complete, its original files have the recorded sizes and modification times, and
    rejected images still cannot be read.

    It checks each file once and reads only those that were rejected.
    """
    records = _complete_records(shard)
    return records is not None and all(
        size_and_time(path) == (record.bytes, record.modified) and not (record.error and can_be_read(path))
        for path, record in zip(shard.images, records, strict=True)
    )


def refresh(shard: Shard) -> bool:
    """Returns True if a shard is complete and its images are unchanged, even if their modification times differ.

    If only the times differ, the records are updated, so that `is_current` returns True the next time.
    """
    records = _complete_records(shard)
    if records is None:
        return False
    new = [updated(record, path) for path, record in zip(shard.images, records, strict=True)]
    if None in new:
        return False
    if new != records:
        write_records(shard.records, [record for record in new if record])
    return True


def _complete_records(shard) -> list[Record] | None:
    """Returns the records of a shard, or None if it is incomplete."""
    records = read_records(shard.records)
    if records is None or len(records) != len(shard.images) or not shard.path.exists():
        return None
    size = NPY_HEADER + len(shard.images) * shard.image_size**2
    return records if shard.path.stat().st_size == size else None


def open_shard(path: str | Path) -> np.ndarray:
    """Maps a shard into memory: uint8 `(images, size, size)`, read-only.

    Raises:
        ValueError: if it is missing or damaged.
    """
    try:
        pixels = np.load(path, mmap_mode="r")
    except (FileNotFoundError, ValueError, EOFError):
        raise ValueError(f"{path} is missing or damaged. Run `mamsf-keras prepare` again.") from None
    return pixels.view(np.ndarray)  # a plain array is much faster to index than a memory map

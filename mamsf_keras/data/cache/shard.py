"""One shard of a cache: making it, checking it, mapping it. Light to import, since every worker process imports it."""

import csv
import io
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mamsf_keras.images.grey import read_with_note, resize
from mamsf_keras.images.pixel_hash import pixel_hash
from mamsf_keras.storage import atomic_write

PIXEL_COLUMNS = ["sha256", "height", "width"]
"""What the pixels of an original were before they were resized."""
NPY_HEADER = 128
"""Bytes before the pixels of a `.npy` file."""
RECORD_COLUMNS = [*PIXEL_COLUMNS, "bytes", "note", "error"]


class Shard(NamedTuple):
    """A shard to make: the paths of its images, its own path, and the height and width of its images in pixels."""

    images: list[str]
    path: Path
    image_size: int

    @property
    def record(self) -> Path:
        """Path of the record: a CSV file with one row per image."""
        return record_path(self.path)


def record_path(shard_path: str | Path) -> Path:
    """Returns the path of the record of a shard."""
    return Path(shard_path).with_suffix(".csv")


def make_shard(shard: Shard) -> int:
    """Writes a shard and then its record. An image that cannot be read is black and has an error in the record.

    Returns:
        The number of its images.
    """
    pixels = np.zeros((len(shard.images), shard.image_size, shard.image_size), np.uint8)
    records = []
    for row, path in enumerate(shard.images):
        length = os.path.getsize(path)
        try:
            grey, note = read_with_note(path)
        except ValueError as error:
            records.append(("", "", "", length, "", str(error)))
            continue
        pixels[row] = resize(grey, shard.image_size)
        records.append((pixel_hash(grey), *grey.shape, length, note, ""))
    content = io.BytesIO()  # writing to a file, NumPy does not report a full disk
    np.save(content, pixels)
    with atomic_write(shard.path) as temporary:
        temporary.write_bytes(content.getbuffer())
    with atomic_write(shard.record) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([RECORD_COLUMNS, *records])
    return len(shard.images)


def is_current(shard: Shard, accept_rejected: bool = False) -> bool:
    """Returns True if a shard is complete and its images have the sizes in bytes that they had.

    A shard with rejected images is not, unless they are accepted.
    """
    if not shard.record.exists() or not shard.path.exists():
        return False
    if shard.path.stat().st_size != NPY_HEADER + len(shard.images) * shard.image_size**2:
        return False
    with open(shard.record, encoding="utf-8", newline="") as file:
        records = list(csv.DictReader(file))
    if not accept_rejected and any(record["error"] for record in records):
        return False
    return [record["bytes"] for record in records] == [str(os.path.getsize(path)) for path in shard.images]


def open_shard(path: str | Path) -> np.ndarray:
    """Maps a shard into memory: uint8 `(images, size, size)`, read-only.

    Raises:
        ValueError: if it is lost or damaged.
    """
    try:
        pixels = np.load(path, mmap_mode="r")
    except (FileNotFoundError, ValueError, EOFError):
        raise ValueError(f"{path} is lost or damaged: run `mamsf-keras prepare` again.") from None
    return pixels.view(np.ndarray)  # a plain array is much faster to index than a memory map

"""One shard of a cache: its images decoded, resized and recorded. Light to import, as each worker process does it."""

import csv
import hashlib
import io
import os

import numpy as np

from mamsf_keras.data.image import read_with_note, resize
from mamsf_keras.files import whole_file

PIXEL_COLUMNS = ["sha256", "height", "width"]
"""What an original's pixels were before they were resized."""
NPY_HEADER = 128
"""Bytes before the pixels of a `.npy` file."""
RECORD = [*PIXEL_COLUMNS, "bytes", "note", "error"]


def make_shard(task) -> int:
    """Writes a shard and, last, its record, a row an image; an image that cannot be read is black and has an error.

    Args:
        task: paths of the images, path of the shard, height and width in pixels.

    Returns:
        How many images it has.
    """
    paths, shard, size = task
    pixels = np.zeros((len(paths), size, size), np.uint8)
    records = []
    for row, path in enumerate(paths):
        length = os.path.getsize(path)
        try:
            grey, note = read_with_note(path)
        except ValueError as error:
            records.append(("", "", "", length, "", str(error)))
            continue
        pixels[row] = resize(grey, size)
        records.append((pixel_hash(grey), *grey.shape, length, note, ""))
    content = io.BytesIO()  # NumPy's own writing to a file does not say that a disk is full
    np.save(content, pixels)
    with whole_file(shard) as temporary:
        temporary.write_bytes(content.getbuffer())
    with whole_file(record_path(shard)) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([RECORD, *records])
    return len(paths)


def is_done(task, rejected_too=False) -> bool:
    """Tells whether a shard is whole and its images, the rejected ones too if so said, have the sizes they had."""
    paths, shard, size = task
    if not record_path(shard).exists() or not shard.exists():
        return False
    if shard.stat().st_size != NPY_HEADER + len(paths) * size**2:
        return False
    with open(record_path(shard), encoding="utf-8", newline="") as file:
        records = list(csv.DictReader(file))
    whole = rejected_too or not any(record["error"] for record in records)
    return whole and [record["bytes"] for record in records] == [str(os.path.getsize(path)) for path in paths]


def record_path(shard):
    """Names the record of a shard."""
    return shard.with_suffix(".csv")


def pixel_hash(grey: np.ndarray) -> str:
    """Returns the SHA-256 of an image's pixels and shape: equal for equal pictures in whatever file."""
    digest = hashlib.sha256(repr(grey.shape).encode())
    digest.update(np.ascontiguousarray(grey))
    return digest.hexdigest()

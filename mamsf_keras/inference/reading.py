"""Reads image files ahead of the model, in threads, a bounded number at a time."""

import collections
import dataclasses
import itertools
import os
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from mamsf_keras.images.gray import read_with_note, resize

NEARLY_BLACK = "its gray values are at most 1 of 255: it is nearly black, or was scaled to [0, 1] before it was saved"
CHUNK = 8
"""Images per task of a thread, or 1 if the original pixels are kept, which take megabytes per image."""


@dataclasses.dataclass(frozen=True)
class InputImage:
    """An image file that was read, or the reason why it could not be.

    Attributes:
        path: the file.
        pixels: uint8 `(image_size, image_size)`; None if it cannot be read.
        original: uint8 `(height, width)` as in the file; None unless requested.
        height: height of the image in the file, in pixels.
        width: width of the image in the file, in pixels.
        note: about how the file was read, or "".
        warning: why its predictions are unreliable, or "".
        error: why it cannot be read, or "".
    """

    path: Path
    pixels: np.ndarray | None = None
    original: np.ndarray | None = None
    height: int = 0
    width: int = 0
    note: str = ""
    warning: str = ""
    error: str = ""


def read_image(path: Path, image_size: int, keep_original: bool = False) -> InputImage:
    """Reads a file and resizes it. An error of the file is returned, not raised.

    Args:
        path: the file; a DICOM file needs neither suffix nor preamble.
        image_size: height and width of the pixels.
        keep_original: whether to return the original pixels too.
    """
    try:
        gray, note = read_with_note(path)
    except (ValueError, ImportError) as error:
        return InputImage(path, error=" ".join(str(error).split()))
    height, width = gray.shape
    warning = NEARLY_BLACK if gray.max() <= 1 else ""
    original = gray if keep_original else None
    return InputImage(path, resize(gray, image_size), original, height, width, note, warning)


def read_batches(
    paths: Sequence[Path],
    image_size: int,
    batch_size: int,
    *,
    keep_originals: bool = False,
    workers: int | None = None,
) -> Generator[list[InputImage], None, None]:
    """Yields all images in order, in lists with `batch_size` readable ones each; the last may have fewer.

    While one list is used, the next images are read.

    Args:
        paths: the files.
        image_size: height and width of the pixels.
        batch_size: readable images per list. The unreadable ones between them are in the list too.
        keep_originals: whether to return the original pixels too.
        workers: number of threads, one per CPU core by default.
    """
    batch: list[InputImage] = []
    readable = 0
    for image in _read_ahead(paths, image_size, keep_originals, workers or os.cpu_count() or 1, batch_size):
        batch.append(image)
        readable += image.pixels is not None
        if readable == batch_size:
            yield batch
            batch, readable = [], 0
    if batch:
        yield batch


def _read_ahead(paths, image_size, keep_originals, workers, batch_size) -> Iterator[InputImage]:
    size = 1 if keep_originals else CHUNK
    chunks = (paths[start : start + size] for start in range(0, len(paths), size))
    pending: collections.deque = collections.deque()
    pool = ThreadPoolExecutor(workers)

    def submit(count):
        for chunk in itertools.islice(chunks, count):
            pending.append(pool.submit(lambda some: [read_image(p, image_size, keep_originals) for p in some], chunk))

    try:
        submit(max(2 * workers, 2 * batch_size // size))
        while pending:
            images = pending.popleft().result()
            submit(1)
            yield from images
    finally:
        pool.shutdown(cancel_futures=True)

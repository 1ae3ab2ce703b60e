"""Reads image files as gray pixels. Every command uses this module.

PNG, JPEG and DICOM files with one image are read, regardless of their suffix. Other formats are rejected by name. The
checksums of PNG are verified, and JPEG is decoded strictly by `jpeg.py`, so missing data raise an error.

| file | gray value |
|---|---|
| 8-bit gray | unchanged |
| 1-, 2-, 4-bit gray | scaled to 0 to 255 |
| 16-bit gray | v * 255 / (2^b - 1), with b the smallest of 8, 10, 12, 14, 16 whose range holds the image's maximum |
| RGB, palette, CMYK, YCbCr | ITU-R 601 luma, (299 R + 587 G + 114 B) / 1000 |
| with alpha | the same; alpha is ignored |
| DICOM | the rules of `dicom.py`; needs pydicom |
| 16-bit color | rejected with an error that names the depth |

Orientation tags are ignored. Resizing is antialiased (a triangle filter as wide as the reduction factor) and does not
preserve the aspect ratio; NIH images are square.
"""

import contextlib
import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from mamsf_keras.images.dicom import read_dicom
from mamsf_keras.images.dicom_signature import is_dicom
from mamsf_keras.images.jpeg import decode_jpeg

BIT_DEPTHS = (8, 10, 12, 14, 16)
FORMATS = ("PNG", "JPEG")
SUFFIXES = (".png", ".jpg", ".jpeg")


def read_gray(path: str | Path, size: int | None = None) -> np.ndarray:
    """Reads an image file as gray pixels by the rules of this module.

    Args:
        path: a PNG, JPEG or DICOM file.
        size: height and width to resize to, in pixels; None keeps those of the file.

    Returns:
        uint8 array `(height, width)`, from 0 (black) to 255 (white). Notes for the user are issued as warnings.

    Raises:
        ImportError: if the file is DICOM and pydicom is not installed.
        ValueError: if the file cannot be read; names the file and states the reason.
    """
    gray, note = read_with_note(path)
    if note:
        warnings.warn(note, stacklevel=2)
    return resize(gray, size)


def read_with_note(path: str | Path) -> tuple[np.ndarray, str]:
    """Reads an image like `read_gray`, and returns the pixels and a note for the user, or ""."""
    with _named(path):
        if not is_dicom(path):
            return _read(Path(path).read_bytes()), ""
    return read_dicom(path)


@contextlib.contextmanager
def _named(path):
    """Converts the exceptions of Pillow on damaged files to an error that names the file."""
    try:
        yield
    except (OSError, SyntaxError, ValueError, struct.error, zlib.error, Image.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ValueError(f"{path} cannot be read as an image: {' '.join(reason.split())}") from error


def resize(gray: np.ndarray, size: int | None) -> np.ndarray:
    """Resizes uint8 `(height, width)` pixels to `(size, size)`, antialiased; None or an equal size changes nothing."""
    if size is None or gray.shape == (size, size):
        return gray
    return np.asarray(Image.fromarray(gray).resize((size, size), Image.Resampling.BILINEAR))


def resize_map(cells: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resizes a map `(h, w)` to float32 `(height, width)`, bilinear between the centers of its cells."""
    image = Image.fromarray(np.ascontiguousarray(cells, np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))


def _read(data: bytes) -> np.ndarray:
    with _opened(io.BytesIO(data)) as image:
        if image.format == "JPEG":
            return _gray(decode_jpeg(data, image))
        image.verify()  # checks the checksums, which decoding ignores; the image cannot be used afterwards
    with Image.open(io.BytesIO(data)) as image:
        return _gray(image)


@contextlib.contextmanager
def _opened(file):
    """Yields an image of which the header was read. Raises `ValueError` if its format or kind is not supported."""
    try:
        image = Image.open(file)
    except UnidentifiedImageError:  # its text contains a memory address
        raise ValueError("it is not a PNG, JPEG or DICOM file") from None
    with image:
        if image.format not in FORMATS:
            raise ValueError(f"it is a {image.format} file, but only PNG, JPEG and DICOM are supported")
        if (frames := getattr(image, "n_frames", 1)) > 1:
            raise ValueError(f"it has {frames} frames, but a radiograph must have one")
        if any("16" in str(tile.args) for tile in image.tile) and not image.mode.startswith("I"):
            raise ValueError("16-bit color is not supported; save it as 8-bit color or as 16-bit gray")
        yield image


def _gray(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I"):
        return _scaled(np.asarray(image))
    if image.mode == "L":
        return np.asarray(image)
    if image.mode == "LA":
        return np.asarray(image.getchannel(0))
    if image.mode == "1":
        return np.asarray(image.convert("L"))
    image.info.pop("transparency", None)  # Pillow would warn about it
    return np.asarray(image.convert("RGB").convert("L"))


def _scaled(pixels: np.ndarray) -> np.ndarray:
    high = int(pixels.max())
    bits = next(b for b in BIT_DEPTHS if high < 2**b)
    return np.round(pixels.astype(np.float64) * (255 / (2**bits - 1))).astype(np.uint8)

"""Reads image files as gray pixels. Every command uses this module.

The rules by file content:

| file | gray value |
|---|---|
| 8-bit gray | unchanged |
| 1-, 2-, 4-bit gray | scaled to 0 to 255 |
| 16-bit gray | v * 255 / (2^b - 1), b the smallest of 8, 10, 12, 14, 16 whose range holds the maximum of the image |
| RGB, palette, CMYK, YCbCr | ITU-R 601 luma, (299 R + 587 G + 114 B) / 1000 |
| with alpha | the same; alpha is ignored |
| DICOM | the rules of `dicom.py`; needs pydicom |
| 16-bit color, floating point, negative or above 16 bits | rejected with an error that names the depth |

Orientation tags are ignored. Resizing is antialiased (a triangle filter as wide as the reduction factor) and does not
preserve the aspect ratio; NIH images are square.
"""

import contextlib
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile

from mamsf_keras.images.dicom import is_dicom, read_dicom, read_dicom_size

BIT_DEPTHS = (8, 10, 12, 14, 16)
SUFFIXES = (".png", ".jpg", ".jpeg")


def read_grey(path: str | Path, size: int | None = None) -> np.ndarray:
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
    grey, note = read_with_note(path)
    if note:
        warnings.warn(note, stacklevel=2)
    return resize(grey, size)


def read_with_note(path: str | Path) -> tuple[np.ndarray, str]:
    """Reads an image like `read_grey`, and returns the pixels and a note for the user, or ""."""
    with _named(path):
        if not is_dicom(path):
            with Image.open(path) as image:
                return _grey(image), ""
    return read_dicom(path)


def read_size(path: str | Path) -> tuple[int, int]:
    """Reads the height and width of an image file from its header. Raises the same errors as `read_grey`."""
    with _named(path):
        if not is_dicom(path):
            with Image.open(path) as image:
                return image.height, image.width
    return read_dicom_size(path)


@contextlib.contextmanager
def _named(path):
    """Converts the exceptions of Pillow on damaged files to an error that names the file."""
    try:
        yield
    except (OSError, SyntaxError, ValueError, struct.error, zlib.error, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} cannot be read as an image: {' '.join(str(error).split())}") from error


def resize(grey: np.ndarray, size: int | None) -> np.ndarray:
    """Resizes uint8 `(height, width)` pixels to `(size, size)`, antialiased; None or an equal size changes nothing."""
    if size is None or grey.shape == (size, size):
        return grey
    return np.asarray(Image.fromarray(grey).resize((size, size), Image.Resampling.BILINEAR))


def resize_map(cells: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resizes a map `(h, w)` to float32 `(height, width)`, bilinear between the centers of its cells."""
    image = Image.fromarray(np.ascontiguousarray(cells, np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))


def _grey(image: ImageFile.ImageFile) -> np.ndarray:
    if image.mode.startswith("I"):
        return _scaled(np.asarray(image))
    if image.mode == "F":
        raise ValueError("floating-point pixels have no defined range; save them as 8 or 16 bit grey")
    if any("16" in str(tile.args) for tile in image.tile):  # Pillow would keep only the upper byte
        raise ValueError("16-bit colour is not supported; save it as 8-bit colour or as 16-bit grey")
    if image.mode == "L":
        return np.asarray(image)
    if image.mode == "LA":
        return np.asarray(image.getchannel(0))
    if image.mode == "1":
        return np.asarray(image.convert("L"))
    image.info.pop("transparency", None)  # Pillow would warn about it
    return np.asarray(image.convert("RGB").convert("L"))


def _scaled(pixels: np.ndarray) -> np.ndarray:
    low, high = int(pixels.min()), int(pixels.max())
    if low < 0 or high >= 2 ** BIT_DEPTHS[-1]:
        raise ValueError(f"grey values must fit 16 bit, 0 to 65535; found {low} to {high}")
    bits = next(b for b in BIT_DEPTHS if high < 2**b)
    return np.round(pixels.astype(np.float64) * (255 / (2**bits - 1))).astype(np.uint8)

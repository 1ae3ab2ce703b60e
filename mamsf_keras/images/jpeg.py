"""Strict decoding of JPEG: lost data are an error.

libjpeg fills missing data with gray and issues a warning, which Pillow and gdcm ignore. simplejpeg uses the same
library and makes the warning an error. JPEG has no checksum, so changed bytes that still decode to the same number of
pixels are not detected.
"""

import simplejpeg
from PIL import Image

COLORSPACES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}
FRAME_HEADERS = (0xC0, 0xC1, 0xC2, 0xC3)
"""Markers of the frame header: baseline, extended, progressive, lossless."""


def decode_jpeg(data: bytes, image: Image.Image) -> Image.Image:
    """Decodes a JPEG to the same pixels as Pillow.

    Args:
        data: the file.
        image: the same file opened by Pillow, of which only the header is used.

    Raises:
        ValueError: if the data are damaged or incomplete; states the reason.
    """
    pixels = simplejpeg.decode_jpeg(data, COLORSPACES[image.mode])
    if image.mode == "CMYK":
        pixels = 255 - pixels  # Pillow assumes the inverse convention, that of Adobe
    return Image.frombytes(image.mode, image.size, pixels.tobytes())


def check_jpeg(data: bytes) -> None:
    """Raises `ValueError` if JPEG data of any precision, such as those of a DICOM file, are damaged or incomplete."""
    simplejpeg.decode_jpeg(_as_eight_bits(data), "GRAY")


def _as_eight_bits(data) -> bytes:
    """Sets the precision to 8 bits, the only one that simplejpeg accepts. It does not affect the compressed data."""
    place = 2
    while place + 4 < len(data) and data[place] == 0xFF:
        if data[place + 1] in FRAME_HEADERS:
            return data if data[place + 4] == 8 else data[: place + 4] + b"\x08" + data[place + 5 :]
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return data

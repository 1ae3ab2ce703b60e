"""Recognizes DICOM files by their content or, failing that, their suffix. Does not need pydicom."""

import re
from pathlib import Path

SUFFIXES = (".dcm", ".dicom")
OTHER_SIGNATURES = (b"\x89PNG", b"\xff\xd8", b"\0\0\0\x0cjP  ", b"GIF8", b"BM", b"RIFF", b"II*\0", b"MM\0*")
"""First bytes of PNG, JPEG, JPEG 2000, GIF, BMP, WebP and TIFF files."""
EXPLICIT_VR = re.compile(
    b"AE|AS|AT|CS|DA|DS|DT|FL|FD|IS|LO|LT|OB|OD|OF|OL|OV|OW|PN|SH|SL|SQ|SS|ST|SV|TM|UC|UI|UL|UN|UR|US|UT|UV"
)
"""The value representations of PS3.5, table 6.2-1."""
HEADER_BYTES = 2048


def is_dicom(path: str | Path) -> bool:
    """Returns True if a file is DICOM by its content, or by its suffix if its content is not in another format.

    Raises:
        OSError: if the file cannot be read.
    """
    start = first_bytes(path)
    named = Path(path).suffix.lower() in SUFFIXES and not start.startswith(OTHER_SIGNATURES)
    return named or is_dicom_content(start)


def first_bytes(path: str | Path) -> bytes:
    """Reads the bytes of a file by which its format is recognized."""
    with open(path, "rb") as file:
        return file.read(HEADER_BYTES)


def is_dicom_content(start: bytes) -> bool:
    """Returns True if the `first_bytes` of a file are those of DICOM, with or without the preamble."""
    if start[128:132] == b"DICM":
        return True
    return not start.startswith(OTHER_SIGNATURES) and starts_with_elements(start)


def starts_with_elements(start: bytes) -> bool:
    """Returns True if bytes are two consecutive elements of a DICOM data set without preamble.

    An element starts with its group and its number (2 bytes each), the two letters of an explicit VR, and its length;
    see PS3.5, 7.1.

    Args:
        start: the first bytes of a file, up to `HEADER_BYTES`.
    """
    for order in ("little", "big"):
        first, after = _element(start, 0, order)
        if first is None:
            continue
        second, _ = _element(start, after, order)
        if second is not None and first < second:
            return True
    return False


def _element(start: bytes, at: int, order) -> tuple[tuple[int, int] | None, int]:
    """Returns group and number of the element at an offset, None if there is none, and the offset of the next one."""
    group, number = (int.from_bytes(start[i : i + 2], order) for i in (at, at + 2))
    if len(start) < at + 8 or not 2 <= group <= 0x7FE0 or group % 2:
        return None, 0
    if EXPLICIT_VR.fullmatch(start[at + 4 : at + 6]):
        long = start[at + 4 : at + 6] in (b"OB", b"OW", b"SQ", b"UN", b"UT", b"OF", b"OD", b"OL", b"UC", b"UR")
        length = int.from_bytes(start[at + 8 : at + 12] if long else start[at + 6 : at + 8], order)
        return (group, number), at + (12 if long else 8) + length
    length = int.from_bytes(start[at + 4 : at + 8], order)
    return ((group, number), at + 8 + length) if order == "little" and length % 2 == 0 else (None, 0)

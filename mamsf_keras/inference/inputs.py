"""Finds the image files to predict, by their content: PNG, JPEG and DICOM, with or without a suffix or a preamble."""

import dataclasses
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from mamsf_keras.images.gray import SUFFIXES

DICOM_SUFFIXES = (".dcm", ".dicom")
SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*", b"\0\0\0\x0cjP  ", b"RIFF", b"BM")
"""First bytes of PNG and JPEG files, and of other image files, which are reported as unreadable, not skipped."""
EXPLICIT_VR = re.compile(
    b"AE|AS|AT|CS|DA|DS|DT|FL|FD|IS|LO|LT|OB|OD|OF|OL|OV|OW|PN|SH|SL|SQ|SS|ST|SV|TM|UC|UI|UL|UN|UR|US|UT|UV"
)
"""The value representations of PS3.5, table 6.2-1."""
HEADER_BYTES = 2048


@dataclasses.dataclass(frozen=True)
class Found:
    """The image files below the given paths.

    Attributes:
        paths: the files, in the order given, those of a folder by name; each once.
        skipped: other files in the folders.
        unreadable: folders whose content cannot be listed, with the reason.
    """

    paths: list[Path]
    skipped: list[Path]
    unreadable: list[tuple[Path, str]]


def find_inputs(images: Iterable[str | Path]) -> Found:
    """Finds image files.

    Args:
        images: files, which are used regardless of their content, and folders, which are searched at any depth.
    """
    found = Found([], [], [])
    for given in map(Path, images):
        if not given.is_dir():
            found.paths.append(given)
            continue
        for path in _files(given, found.unreadable):
            (found.paths if is_image(path) else found.skipped).append(path)
    once: dict[str, Path] = {}
    for path in found.paths:
        once.setdefault(os.path.abspath(path), path)
    return dataclasses.replace(found, paths=list(once.values()))


def _files(folder, unreadable) -> Iterator[Path]:
    """Yields the files below a folder by name. Symbolic links are followed, but each folder is visited only once."""
    seen = set()

    def report(error: OSError) -> None:
        unreadable.append((Path(error.filename), error.strerror or str(error)))

    for parent, folders, names in os.walk(folder, followlinks=True, onerror=report):
        seen.add(os.path.realpath(parent))
        folders[:] = sorted(name for name in folders if os.path.realpath(os.path.join(parent, name)) not in seen)
        yield from (Path(parent, name) for name in sorted(names))


def is_image(path: Path) -> bool:
    """Returns True if a file is an image by its content, or claims to be one by its suffix."""
    if path.suffix.lower() in (*SUFFIXES, *DICOM_SUFFIXES):
        return True
    if path.name == "DICOMDIR":  # the table of contents of a DICOM disc
        return False
    try:
        with open(path, "rb") as file:
            start = file.read(HEADER_BYTES)
    except OSError:
        return True  # reported as unreadable when it is read
    return start.startswith(SIGNATURES) or start[128:132] == b"DICM" or starts_with_elements(start)


def is_bare_dicom(path: Path) -> bool:
    """Returns True if a file has no DICOM preamble but starts with DICOM elements, regardless of its suffix."""
    with open(path, "rb") as file:
        start = file.read(HEADER_BYTES)
    return start[128:132] != b"DICM" and starts_with_elements(start)


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

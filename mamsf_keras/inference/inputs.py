"""Finds the image files to predict, by their content: PNG, JPEG and DICOM, with or without a suffix or a preamble."""

import dataclasses
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from mamsf_keras.images.dicom_signature import OTHER_SIGNATURES, first_bytes, is_dicom_content
from mamsf_keras.images.dicom_signature import SUFFIXES as DICOM_SUFFIXES
from mamsf_keras.images.gray import SUFFIXES


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
        start = first_bytes(path)
    except OSError:
        return True  # reported as unreadable when it is read
    return start.startswith(OTHER_SIGNATURES) or is_dicom_content(start)  # an unsupported image is not skipped

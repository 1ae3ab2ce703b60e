"""Files that are complete or absent, and folders that one process works on at a time."""

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock

if TYPE_CHECKING:
    import pandas as pd

TEMPORARY_PREFIX = ".part-"
"""How the name of an unfinished file starts. Only a killed process leaves one behind."""


@contextlib.contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`, with the same suffix, for the block to write to.

    When the block ends normally, the file is flushed to disk and renamed to `path`; otherwise it is removed.

    ```python
    with atomic_write("table.csv") as temporary:
        frame.to_csv(temporary)
    ```
    """
    temporary = Path(path).with_name(f"{TEMPORARY_PREFIX}{Path(path).name}")
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        # The error of a full disk has a number and does not name the file. Others come from the work in the block.
        if error.filename is None and error.errno is not None and not isinstance(error, ConnectionError):
            raise OSError(f"{path} cannot be written: {error}") from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def exclusive_lock(folder: str | Path) -> Iterator[None]:
    """Holds the lock of a folder for the block. The operating system releases it even if the process is killed.

    Raises:
        BlockingIOError: if another process holds the lock.
    """
    lock = filelock.FileLock(Path(folder) / ".lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise BlockingIOError(f"Another process is working on {folder}: wait for it, or stop it.") from None
    try:
        yield
    finally:
        lock.release()


def write_json(path: str | Path, content: Any) -> None:
    """Writes strict JSON (no NaN) atomically."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def write_csv(path: str | Path, frame: "pd.DataFrame", **options: Any) -> None:
    """Writes a data frame as CSV, without its index, atomically. `options` are those of `DataFrame.to_csv`."""
    with atomic_write(path) as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n", **options)


def checksum(path: str | Path) -> str | None:
    """Returns the SHA-256 of a file, or None if there is no such file."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None

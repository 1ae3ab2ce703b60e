"""Files that are complete or absent, and folders that one process works on at a time."""

import contextlib
import glob
import hashlib
import json
import logging
import os
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

TEMPORARY_PREFIX = ".part-"
"""Prefix of the names of unfinished files. Only a killed process leaves one behind."""


@contextlib.contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path next to `path`, with the same suffix, for the block to write to.

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
        # A full disk raises an error with an errno but without a file name. Other errors come from the block itself.
        if error.filename is None and error.errno is not None and not isinstance(error, ConnectionError):
            raise OSError(f"{path} cannot be written: {error}") from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def exclusive_lock(folder: str | Path, wait: bool = False) -> Iterator[None]:
    """Holds the lock of a folder for the block. The operating system releases it even if the process is killed.

    Args:
        folder: an existing folder.
        wait: whether to wait for another process that holds the lock, which is logged.

    Raises:
        BlockingIOError: if another process holds the lock and `wait` is False.
    """
    lock = filelock.FileLock(Path(folder) / ".lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        if not wait:
            raise BlockingIOError(
                f"Another process is working on {folder}. Wait for it to finish, or stop it."
            ) from None
        logger.warning("waiting for another process that is working on %s", folder)
        lock.acquire(poll_interval=0.5)
    try:
        yield
    finally:
        lock.release()


def remove_unfinished(folder: str | Path) -> None:
    """Removes the unfinished files of killed processes from a folder whose lock this process holds."""
    for path in Path(folder).glob(f"{TEMPORARY_PREFIX}*"):
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def scratch_folder(parent: str | Path, prefix: str) -> Iterator[Path]:
    """Yields a new folder in `parent`, which is removed when the block ends.

    Folders of the same prefix that killed processes left are removed first. Beside each folder is a lock, which its
    process holds as long as it lives.
    """
    for path in Path(parent).glob(f"{glob.escape(prefix)}*.lock"):
        if re.fullmatch("[0-9a-f]{8}", path.stem.removeprefix(prefix)):
            with contextlib.suppress(filelock.Timeout):
                _remove_with_lock(path, filelock.FileLock(path, timeout=0).acquire())
    path = Path(parent) / f"{prefix}{secrets.token_hex(4)}.lock"
    lock = filelock.FileLock(path).acquire()
    try:
        path.with_suffix("").mkdir()
        yield path.with_suffix("")
    finally:
        _remove_with_lock(path, lock)


def _remove_with_lock(lock_file: Path, lock) -> None:
    """Removes a scratch folder whose lock this process holds, and then the lock."""
    shutil.rmtree(lock_file.with_suffix(""), ignore_errors=True)
    lock.lock.release()
    with contextlib.suppress(OSError):
        lock_file.unlink()


def write_json(path: str | Path, content: Any) -> None:
    """Writes strict JSON (no NaN) atomically."""
    with atomic_write(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: str | Path, fix: str) -> dict[str, Any]:
    """Reads a JSON file that contains an object.

    Args:
        path: the file.
        fix: what to do if it is damaged, a sentence.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it contains something else.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise ValueError(f"{path} is damaged. {fix}")
    return content


def write_csv(path: str | Path, frame: "pd.DataFrame", **options: Any) -> None:
    """Writes a data frame as CSV, without its index, atomically. `options` are those of `DataFrame.to_csv`."""
    with atomic_write(path) as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n", **options)


def format_bytes(count: int) -> str:
    """Formats a number of bytes with the unit that leaves at least 1: "80 bytes", "11.2 KiB", "5.2 GiB"."""
    exponent = min(max(count.bit_length() - 1, 0) // 10, 4)
    unit = ("bytes", "KiB", "MiB", "GiB", "TiB")[exponent]
    return f"{count} bytes" if exponent == 0 else f"{count / 1024**exponent:.1f} {unit}"


def may_be_file(path: str | os.PathLike) -> bool:
    """Returns False if a path is known not to be a file.

    Unlike `os.path.isfile`, it returns True if the path cannot be accessed, because reading the file then raises an
    error with the reason.
    """
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # the last one for a null character
        return False
    except OSError:
        return True


def checksum(path: str | Path) -> str | None:
    """Returns the SHA-256 of a file, or None if there is no such file."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None

"""Files that are there whole or not at all, and folders that one process works on at a time."""

import contextlib
import os
from pathlib import Path

import filelock

PART = ".part-"
"""What the name of an unfinished file begins with; only a killed process leaves one behind."""


@contextlib.contextmanager
def whole_file(path):
    """Gives a temporary path beside `path`, with its ending, for the block to write to.

    The file is flushed to the disk and renamed when the block ends well, and removed when it does not.

    ```python
    with whole_file("table.csv") as temporary:
        frame.to_csv(temporary)
    ```
    """
    temporary = Path(path).with_name(f"{PART}{Path(path).name}")
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        if error.filename is None:  # a full disk names no file
            raise OSError(f"{path} cannot be written: {error}") from error
        raise
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def one_process(folder):
    """Holds a folder's lock for the block; the system takes it back even from a killed process.

    Raises:
        BlockingIOError: if another process holds it.
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

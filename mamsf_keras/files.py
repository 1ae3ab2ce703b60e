"""Files that are there whole or not at all. Pure Python."""

import contextlib
import os
from pathlib import Path

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
    finally:
        temporary.unlink(missing_ok=True)

"""Images with equal pixels, and notes about them. `describe`, `prepare` and `train` all report what is defined here.

Two images are equal if their gray pixels are, as `images/gray.py` reads them and before they are resized. The format
of the files does not matter.
"""

import pandas as pd

from mamsf_keras.data.tables import count_and_first


def equal_images(table: pd.DataFrame) -> pd.DataFrame:
    """Returns the rows whose image equals that of another row, according to the `pixel_hash` in column `sha256`."""
    known = table.dropna(subset="sha256")
    return known[known["sha256"].duplicated(keep=False)]


def note_equal_images(table: pd.DataFrame) -> tuple[str, ...]:
    """Returns a note that counts the groups of images with equal pixels, or nothing if there are none."""
    return _note("groups of images with equal pixels", equal_images(table).groupby("sha256"))


def note_equal_images_across_splits(table: pd.DataFrame) -> tuple[str, ...]:
    """Returns a note that counts the groups of images with equal pixels in more than one split, or nothing."""
    groups = equal_images(table[table["split"] != ""]).groupby("sha256")
    return _note(
        "groups of images with equal pixels in more than one split", groups.filter(_in_several_splits).groupby("sha256")
    )


def _in_several_splits(rows) -> bool:
    return rows["split"].nunique() > 1


def _note(what, groups) -> tuple[str, ...]:
    names = [" = ".join(rows["image"].head(5)) for _, rows in groups]
    return (f"{what}: {count_and_first(names)}",) if names else ()

"""Reads the bounding boxes of NIH ChestX-ray14; see `nih.py` for the citation."""

from pathlib import Path

import numpy as np
import pandas as pd

from mamsf_keras.data.tables import count_and_first, existing_folder, read_csv
from mamsf_keras.findings import BOX_FINDINGS, find_name, with_nearest

BOXES = "BBox_List_2017.csv"


def read_boxes(data_dir: str | Path) -> pd.DataFrame:
    """Reads `BBox_List_2017.csv` of a data folder; see `read_box_table`."""
    return read_box_table(existing_folder(data_dir) / BOXES)


def read_box_table(path: str | Path) -> pd.DataFrame:
    """Reads a table of boxes in the format of `BBox_List_2017.csv`.

    Returns:
        Frame with `image`, `finding` (one of `BOX_FINDINGS`; the list's "Infiltrate" is Infiltration), and `x`, `y`,
        `width`, `height` in pixels of the 1024 x 1024 image, (x, y) the upper left corner.

    Raises:
        FileNotFoundError: if the list is missing.
        ValueError: names the findings that are not in `BOX_FINDINGS`, or the images whose box is not four numbers.
    """
    raw = read_csv(path, required=("Image Index", "Finding Label"))
    finding = raw["Finding Label"].replace("Infiltrate", "Infiltration")
    names = {name: find_name(name, BOX_FINDINGS) for name in finding.unique()}
    unknown = [with_nearest(name, BOX_FINDINGS) for name, known in names.items() if known is None]
    if unknown:
        raise ValueError(f"{path} has boxes of unknown findings: {', '.join(sorted(unknown))}.")
    boxes = raw.iloc[:, 2:6].apply(pd.to_numeric, errors="coerce")
    bad = raw["Image Index"][~np.isfinite(boxes).all(axis=1)] if boxes.shape[1] == 4 else raw["Image Index"]
    if len(bad):
        raise ValueError(f"{path} has boxes that are not four numbers: {count_and_first(bad)}.")
    boxes.columns = ["x", "y", "width", "height"]
    return pd.concat([raw["Image Index"].rename("image"), finding.map(names).rename("finding"), boxes], axis=1)

"""Finds and reads the columns of a table that hold labels."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from mamsf_keras.data.tables import MISSING, count_and_first, spells_missing

VALUES = {
    **{"1": 1, "1.0": 1, "true": 1, "0": 0, "0.0": 0, "false": 0, "-1": -1, "-1.0": -1},
    **dict.fromkeys(MISSING, np.nan),
}
"""What a label cell may hold, in any case: positive, negative, uncertain (-1), blank."""


def label_values(column: pd.Series) -> pd.Series:
    """Returns 1, 0, -1 where uncertain, or NaN where a cell is blank or not a label."""
    return column.str.lower().map(VALUES)


def find_label_columns(raw: pd.DataFrame, taken: Iterable[str | None]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the label columns of a table, and notes about columns that look like labels but are not used.

    Args:
        raw: the table as text.
        taken: names of columns that have another meaning.
    """
    names, notes = [], []
    for name in dict.fromkeys(raw.columns.drop([*taken, ""], errors="ignore")):
        why = _why_not(raw.loc[:, raw.columns == name])
        if why == "":
            names.append(name)
        elif why:
            notes.append(f"column not used as a finding, {why}: {name} (set `label_columns` to choose the columns)")
    return tuple(names), tuple(notes)


def _why_not(columns: pd.DataFrame) -> str | None:
    """Returns "" for a column of labels, a reason for one that only looks like it, and None for other columns."""
    written = columns.iloc[:, 0]
    cells = written.str.lower()
    other = written[~cells.isin(list(VALUES))]
    if len(other) and len(other) >= (~spells_missing(cells)).sum() / 2:
        return None
    if len(other):
        return f"cells such as {other.iloc[0]!r}"
    if columns.shape[1] > 1:
        return "several columns with this name"
    if spells_missing(cells).all():
        return "all blank"
    return "" if label_values(written).eq(1).any() else "no positive label"


def read_labels(column: pd.Series, path: str | Path, blank: str, uncertain: str) -> pd.Series:
    """Reads a label column as 1, 0, or NaN where the label is missing.

    Args:
        column: the cells as text.
        path: the table, for errors.
        blank: meaning of a blank, "mask" or "negative".
        uncertain: meaning of -1, "mask", "negative" or "positive".

    Raises:
        ValueError: names the cells that are not labels.
    """
    values = label_values(column)
    unknown = column[~column.str.lower().isin(list(VALUES))].unique()
    if len(unknown):
        raise ValueError(
            f"{path}, column {column.name}: a label must be 1, 0, -1 or blank. Found: {count_and_first(unknown)}. "
            "To convert a column of names to label columns, use `str.get_dummies` of pandas."
        )
    missing = values.isna()
    values = values.replace(-1, {"mask": np.nan, "negative": 0.0, "positive": 1.0}[uncertain])
    return values.mask(missing, 0.0) if blank == "negative" else values

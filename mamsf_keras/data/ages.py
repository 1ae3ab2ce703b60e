"""Reads ages with or without units as years."""

import pandas as pd

from mamsf_keras.data.tables import note_odd

OLDEST = 120
"""Ages above this value, in years, count as errors. The NIH table has one of 412."""

YEARS = {"y": 1.0, "m": 1 / 12, "w": 7 / 365.25, "d": 1 / 365.25}
"""Years in each unit, by its first letter. The single letters are those of DICOM's age strings, such as 018M."""

AGE = r"(?i)^(\d+(?:\.\d*)?)\s*(y|yrs?|years?|m|mos?|mths?|months?|w|wks?|weeks?|d|days?)?\.?$"


def read_ages(column: pd.Series) -> tuple[pd.Series, tuple[str, ...]]:
    """Reads ages such as "58", "058Y", "18 months", "3w" and "5 days". A number without a unit is in years.

    Args:
        column: ages as text.

    Returns:
        The ages in years, float64, NaN where blank or not parsable, and notes that count and name the ages that are not
        parsable or above `OLDEST`. The latter are kept.
    """
    text = column.str.strip()
    parts = text.str.extract(AGE)
    factor = parts[1].str[0].str.lower().map(YEARS).fillna(1.0)
    years = (pd.to_numeric(parts[0]) * factor).astype("float64")
    notes = note_odd("ages", text, years)
    old = text[years > OLDEST]
    if len(old):
        notes += (f"ages above {OLDEST} years: {len(old)} (such as {', '.join(old.unique()[:5])})",)
    return years, notes

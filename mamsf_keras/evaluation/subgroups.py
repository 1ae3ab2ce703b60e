"""Subgroups of the images by sex, age and view position."""

import numpy as np
import pandas as pd

from mamsf_keras.data.ages import OLDEST
from mamsf_keras.evaluation.predictions import is_known

AGE_BANDS = (0, 18, 40, 60, 80)
"""Lower limits of the age bands, in years."""


def subgroup_names(table: pd.DataFrame) -> dict[str, pd.Series]:
    """Returns the subgroup of each image by attribute, for `sex`, `age` (bands) and `view` where they are known.

    Unknown values and ages above `OLDEST` form the subgroup "unknown". "M", "male", "F" and "female" in any case are
    "M" and "F"; other values stay as written.
    """
    names = {}
    for attribute in ("sex", "age", "view"):
        if attribute not in table or not is_known(table[attribute]).any():
            continue
        column = table[attribute]
        groups = GROUPING[attribute](column) if attribute in GROUPING else column
        names[attribute] = groups.where(is_known(column) & groups.notna(), "unknown")
    return names


def sexes(column: pd.Series) -> pd.Series:
    """Returns "M" and "F" for these letters and for "male" and "female", in any case; other values as written."""
    text = column.astype(str).str.strip()
    named = text.str.fullmatch(r"(?i)m|male|f|female")
    return text.where(~named, text.str[0].str.upper())


def age_bands(ages: pd.Series) -> pd.Series:
    """Returns the age band of each age in years as text, such as "18-39" or "80+", NaN above `OLDEST`."""
    labels = [f"{low}-{high - 1}" for low, high in zip(AGE_BANDS, AGE_BANDS[1:], strict=False)] + [f"{AGE_BANDS[-1]}+"]
    ages = pd.to_numeric(ages, errors="coerce")
    ages = ages.where(ages <= OLDEST)
    return pd.cut(ages, [*AGE_BANDS, np.inf], right=False, labels=labels).astype(object)


GROUPING = {"sex": sexes, "age": age_bands}
"""Functions from a column to the subgroup of each image; other columns are subgroups as they are."""

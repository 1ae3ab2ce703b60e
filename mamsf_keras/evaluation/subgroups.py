"""Subgroups of the images by sex, age and view position."""

import numpy as np
import pandas as pd

from mamsf_keras.evaluation.predictions import is_known

AGE_BANDS = (0, 18, 40, 60, 80)
"""Lower limits of the age bands, in years."""


def subgroup_names(table: pd.DataFrame) -> dict[str, pd.Series]:
    """Returns the subgroup of each image by attribute, for `sex`, `age` (bands) and `view` where they are known.

    Unknown values form the subgroup "unknown".
    """
    names = {}
    for attribute in ("sex", "age", "view"):
        if attribute not in table or not is_known(table[attribute]).any():
            continue
        column = table[attribute]
        names[attribute] = (age_bands(column) if attribute == "age" else column).where(is_known(column), "unknown")
    return names


def age_bands(ages: pd.Series) -> pd.Series:
    """Returns the age band of each age in years as text, such as "18-39" or "80+"."""
    labels = [f"{low}-{high - 1}" for low, high in zip(AGE_BANDS, AGE_BANDS[1:], strict=False)] + [f"{AGE_BANDS[-1]}+"]
    ages = pd.to_numeric(ages, errors="coerce")
    return pd.cut(ages, [*AGE_BANDS, np.inf], right=False, labels=labels).astype(object)

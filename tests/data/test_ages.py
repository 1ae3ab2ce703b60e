import numpy as np
import pandas as pd
import pytest

from mamsf_keras.data.ages import read_ages

pytestmark = pytest.mark.no_keras

DAY = 1 / 365.25


@pytest.mark.parametrize(
    ("written", "years"),
    [
        *[(text, 58) for text in ("58", "58.0", " 058Y ", "58 years", "58yrs", "58 Year", "58 y.")],
        *[(text, 1.5) for text in ("1.5", "018M", "18 months", "18 mo", "18m")],
        *[(text, 21 * DAY) for text in ("003W", "3 weeks", "3wk", "021D", "21 days", "21d")],
        ("0", 0),
    ],
)
def test_units(written, years):
    ages, notes = read_ages(pd.Series([written]))
    assert ages.dtype == "float64" and ages[0] == pytest.approx(years, rel=1e-12) and notes == ()


def test_blank_ages_are_missing_without_a_note():
    ages, notes = read_ages(pd.Series(["", "NA", "nan", "None"]))
    assert ages.isna().all() and notes == ()


def test_odd_ages_are_counted_and_named_and_high_ones_are_kept():
    odd = ["90+", ">89", "-3", "2y 3m", "1,5", "adult", "90+", "5 hours", "1e3"]
    ages, notes = read_ages(pd.Series([*odd, "412", "120", "1500M"]))
    assert ages[: len(odd)].isna().all()
    np.testing.assert_array_equal(ages[len(odd) :], [412, 120, 125])
    assert notes == (
        "ages that cannot be parsed and count as missing: 9 (such as 90+, >89, -3, 2y 3m, 1,5)",
        "ages above 120 years: 2 (such as 412, 1500M)",
    )

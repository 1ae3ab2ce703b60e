import pandas as pd
import pytest

from mamsf_keras.evaluation.subgroups import age_bands, subgroup_names

pytestmark = pytest.mark.no_keras


def test_an_age_above_120_is_unknown_like_a_missing_one():
    """The NIH table has an age of 412 years."""
    ages = subgroup_names(pd.DataFrame({"age": [120, 120.5, 412, None, 30]}))["age"]
    assert ages.tolist() == ["80+", "unknown", "unknown", "unknown", "18-39"]
    assert subgroup_names(pd.DataFrame({"age": [412.0]}))["age"].tolist() == ["unknown"]


def test_spellings_of_a_sex_are_one_subgroup():
    written = ["M", "m", "Male", " MALE", "F", "f", "female", "O", "Missing", "", None]
    sexes = subgroup_names(pd.DataFrame({"sex": written}))["sex"]
    assert sexes.tolist() == ["M"] * 4 + ["F"] * 3 + ["O", "Missing", "unknown", "unknown"]


def test_views_stay_as_written():
    assert subgroup_names(pd.DataFrame({"view": ["PA", "ap", ""]}))["view"].tolist() == ["PA", "ap", "unknown"]


def test_age_bands():
    ages = pd.Series([0, 17.9, 18, 39, 40, 79, 80, 101])
    assert age_bands(ages).tolist() == ["0-17", "0-17", "18-39", "18-39", "40-59", "60-79", "80+", "80+"]

import pandas as pd
import pytest

from mamsf_keras.evaluation.subgroups import age_bands

pytestmark = pytest.mark.no_keras


def test_age_bands():
    ages = pd.Series([0, 17.9, 18, 39, 40, 79, 80, 101])
    assert age_bands(ages).tolist() == ["0-17", "0-17", "18-39", "18-39", "40-59", "60-79", "80+", "80+"]

import numpy as np
import pandas as pd
import pytest

from mamsf_keras.data.label_columns import find_label_columns, label_values, read_labels

pytestmark = pytest.mark.no_keras


def test_labels_may_be_written_in_several_ways():
    values = label_values(pd.Series(["1", "1.0", "TRUE", "0", "0.0", "False", "-1", "-1.0", "", "NaN", "None", "high"]))
    np.testing.assert_array_equal(values, [1, 1, 1, 0, 0, 0, -1, -1, np.nan, np.nan, np.nan, np.nan])


@pytest.mark.parametrize(
    ("blank", "uncertain", "expected"),
    [
        ("mask", "mask", [1, 0, np.nan, np.nan]),
        ("negative", "positive", [1, 0, 1, 0]),
        ("mask", "negative", [1, 0, 0, np.nan]),
    ],
)
def test_blank_and_uncertain_labels(blank, uncertain, expected):
    column = pd.Series(["1", "0", "-1", "NA"], name="Mass")
    np.testing.assert_array_equal(read_labels(column, "t.csv", blank, uncertain), expected)
    with pytest.raises(ValueError, match=r"t.csv, column Mass: a label must be .* Found: 1 \(first: high\)"):
        read_labels(column.replace("NA", "high"), "t.csv", blank, uncertain)


def test_columns_that_are_mostly_other_text_are_not_noted():
    columns = {"path": ["a", "b", "c"], "A": ["1", "", "0"], "remark": ["", "fine", ""], "grade": ["1", "0", "2"]}
    names, notes = find_label_columns(pd.DataFrame(columns, dtype=str), {"path", None})
    assert names == ("A",)
    assert notes == (
        "column not used as a finding, cells such as '2': grade (set `label_columns` to choose the columns)",
    )

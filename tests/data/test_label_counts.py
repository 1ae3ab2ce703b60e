import numpy as np
import pytest

from mamsf_keras.data.label_counts import count_labels

pytestmark = pytest.mark.no_keras

NAMES = ("Mass", "Hernia", "No Finding", "Edema")
NAN = np.nan
LABELS = [[1, 0, 1, NAN], [0, 0, NAN, NAN], [NAN, 0, 1, NAN]]


def test_missing_labels_are_neither_positive_nor_negative():
    counts = count_labels(LABELS, NAMES)
    assert counts.findings == NAMES
    assert (counts.positives, counts.negatives) == ((1, 0, 2, 0), (1, 3, 0, 0))


def test_findings_with_labels_of_a_single_class_are_named_with_their_counts():
    counts = count_labels(LABELS, NAMES)
    assert counts.single_class == ("Hernia", "No Finding", "Edema")
    assert counts.describe(["Hernia", "Mass"]) == "Hernia (0 positive, 3 negative), Mass (1 positive, 1 negative)"
    assert count_labels([[1, 0], [0, 1]], "AB").single_class == ()


def test_labels_of_weight_zero_do_not_count():
    filled = np.nan_to_num(np.asarray(LABELS, "float32"))
    weights = 0.25 * ~np.isnan(LABELS)
    assert count_labels(filled, NAMES, weights) == count_labels(LABELS, NAMES)
    assert count_labels(filled, NAMES).single_class == ("Hernia", "Edema")  # a blank read as negative


def test_empty_labels_are_counted_and_missing_columns_are_refused():
    assert count_labels(np.zeros((0, 4), "float32"), NAMES).single_class == NAMES
    with pytest.raises(ValueError, match=r"one column for each of the 4 findings. Received: shape \(3, 2\)"):
        count_labels(np.zeros((3, 2)), NAMES)

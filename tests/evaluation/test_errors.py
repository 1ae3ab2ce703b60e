import pytest

from mamsf_keras.evaluation.errors import worst_errors
from tests.evaluation.test_predictions import predictions

pytestmark = pytest.mark.no_keras

LABELS = [[1, 0], [0, 1], [0, 0], [1, 1], [0, None], [None, 0]]
SCORES = [[0.2, 0.1], [0.9, 0.1], [0.8, 0.1], [0.7, 0.1], [0.95, 0.1], [0.99, 0.1]]


def found(points, each=4, patients="abcdef"):
    rows = predictions(SCORES, LABELS, ("A", "B"), patient=list(patients))
    summary = {"findings": {"A": {"operating_points": points}, "B": {"operating_points": None}}}
    return worst_errors(rows, summary, each)["A"]


def rows_of(examples):
    return [example["row"] for example in examples]


def test_worst_come_first_and_missing_labels_never():
    errors = found(None)
    assert rows_of(errors["false_positives"]) == [4, 1, 2] and rows_of(errors["false_negatives"]) == [0, 3]
    assert errors["false_positives"][1] == {"row": 1, "image": "1", "probability": 0.9, "labels": ["B"]}
    assert rows_of(found(None, each=1)["false_positives"]) == [4]


def test_only_images_on_the_wrong_side_of_the_threshold():
    errors = found({"youden": {"threshold": 0.85}})
    assert rows_of(errors["false_positives"]) == [4, 1] and rows_of(errors["false_negatives"]) == [0, 3]
    errors = found({"youden": {"threshold": 0.5}})
    assert rows_of(errors["false_negatives"]) == [0]
    assert found({"youden": None}) == found(None)


def test_a_patient_is_shown_once_per_kind():
    errors = found(None, patients="aabbaf")
    assert rows_of(errors["false_positives"]) == [4, 2] and rows_of(errors["false_negatives"]) == [0, 3]

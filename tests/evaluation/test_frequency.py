import pytest

from mamsf_keras.evaluation.frequency import frequency_groups

pytestmark = pytest.mark.no_keras


def test_groups_by_share_of_the_images():
    groups = frequency_groups({"A": (5, 100), "B": (499, 10_000), "C": (2, 100), "D": (19, 1000), "E": (0, 9)})
    assert list(groups.values()) == ["head", "medium", "medium", "tail", "tail"]


def test_a_finding_without_labels_has_no_group():
    assert frequency_groups({"A": (5, 100), "B": (0, 0)}) == {"A": "head"}

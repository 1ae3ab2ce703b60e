import pytest

from mamsf_keras.evaluation.prevalence import check_calibrated, prevalence_by_finding

pytestmark = pytest.mark.no_keras

FINDINGS = ("Hernia", "Pleural_Thickening")


def test_names_are_those_of_the_evaluation():
    assert prevalence_by_finding({"": 0.1, "pleural thickening": 0.2}, FINDINGS) == {"": 0.1, "Pleural_Thickening": 0.2}
    assert prevalence_by_finding(None, FINDINGS) == {}


@pytest.mark.parametrize(
    "given, message",
    [
        ({"Hernai": 0.01}, "`prevalence` names the unknown finding Hernai .did you mean Hernia.."),
        ({"Hernia": 0.01, "hernia": 0.02}, "more than one value for Hernia"),
        ({"Hernia": 1.0}, "must be in .0, 1.. Received: 1 for Hernia."),
        ({"": 0.0}, "Received: 0 for all findings."),
    ],
)
def test_values_that_would_be_ignored_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        prevalence_by_finding(given, FINDINGS)


def test_prevalence_needs_operating_points():
    check_calibrated({"": 0.1}, True)
    check_calibrated({}, False)
    with pytest.raises(ValueError, match="`prevalence` needs a calibration"):
        check_calibrated({"": 0.1}, False)

import pytest

from mamsf_keras.findings import FINDINGS
from mamsf_keras.reports.published import difference_from_protocol, published

pytestmark = pytest.mark.no_keras


def official_summary():
    """What identifies an evaluation on the official test split, and an AUROC of 0.8."""
    protocol = published()["protocol"]
    score = {"auroc": 0.8, "auroc_interval": [0.79, 0.81]}
    rows = {name: {"positives": n, "masked": 0, **score} for name, n in protocol["positives"].items()}
    return {
        "protocol": "official",
        "split": "test",
        "images": 25_596,
        "patients": 2_797,
        "patient_overlap": 0,
        "findings": rows,
        "means": {"macro": score},
    }


def test_every_result_has_a_source_and_a_value():
    assert list(published()["protocol"]["positives"]) == list(FINDINGS)
    for result in published()["results"]:
        assert result["source"] and result["method"] and result["network"]
        assert 0.7 < result["mean_auroc"] < 0.85
        low, high = result["interval"] or (0, 1)
        assert low < result["mean_auroc"] < high
        if "findings" in result:
            assert list(result["findings"]) == list(FINDINGS)
            assert sum(result["findings"].values()) / 14 == pytest.approx(result["mean_auroc"], abs=6e-4)
    assert not any(result["mean_auroc"] == 0.8682 for result in published()["results"])


def test_only_the_official_test_split_is_compared():
    assert difference_from_protocol(official_summary()) is None


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"protocol": "random-patient"}, "the protocol is random-patient"),
        ({"protocol": None}, "the protocol is not stated in a predictions file"),
        ({"split": "validation"}, "the split is validation"),
        ({"images": 594}, "there are 594 images"),
        ({"patients": 25_596}, "there are 25,596 patients"),
        ({"patient_overlap": 1}, "patients are in more than one split"),
        ({"findings": {}}, "the findings are not the 14 NIH findings"),
    ],
)
def test_another_protocol_is_named(change, reason):
    assert difference_from_protocol(official_summary() | change) == reason


@pytest.mark.parametrize("change", [{"positives": 87}, {"masked": 3}])
def test_generated_data_of_the_same_size_are_not_the_official_split(change):
    summary = official_summary()
    summary["findings"]["Hernia"] |= change
    assert difference_from_protocol(summary) == "the labels of Hernia are not the NIH labels"


def test_a_predictions_file_states_no_protocol():
    summary = official_summary()
    del summary["protocol"], summary["split"], summary["patient_overlap"]
    assert difference_from_protocol(summary) == "the protocol is not stated in a predictions file"

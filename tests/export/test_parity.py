import json
import math

import numpy as np
import pytest
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from mamsf_keras.export.parity import Reference, compare, expected
from mamsf_keras.export.results import Limits

pytestmark = pytest.mark.no_keras

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(80, 3))
LABELS = (RNG.random((80, 3)) < [0.3, 0.2, 0.0]).astype(float)
COEFFICIENTS = {"slope": [2.0, 0.5, np.nan], "intercept": [0.1, -1.0, np.nan], "threshold": [0.5, 0.6, np.inf]}
FLOAT32 = Limits(1e-4, 0.001)


def parity(logits, reference=LOGITS, limits=FLOAT32, **changed):
    calibrated = expected(logits, COEFFICIENTS)
    positive = calibrated["probabilities"] >= np.array(COEFFICIENTS["threshold"])
    outputs = {"logits": logits, **calibrated, "positive": positive, **changed}
    return compare(Reference(("A", "B", "C"), reference, LABELS, COEFFICIENTS), outputs, limits)


def test_parity_computed_by_hand():
    shifted = LOGITS + RNG.normal(size=LOGITS.shape) * 0.5
    found = parity(shifted)
    assert found.largest == pytest.approx(np.abs(shifted - LOGITS).max())
    assert found.mean == pytest.approx(np.abs(shifted - LOGITS).mean())
    change = roc_auc_score(LABELS[:, 0], shifted[:, 0]) - roc_auc_score(LABELS[:, 0], LOGITS[:, 0])
    assert found.findings["A"].auroc_change == pytest.approx(change) and found.undefined == ["C"]
    moved = ((expit(LOGITS) >= [0.5, 0.6, np.inf]) != (expit(shifted) >= [0.5, 0.6, np.inf])).sum()
    assert found.decisions_changed == moved > 0 and found.findings["C"].decisions_changed is None
    assert found.findings["A"].distinct_values == (80, 80)
    json.dumps(found.to_dict(), allow_nan=False)


def test_equal_outputs_pass():
    assert parity(LOGITS).violations() == [] and parity(LOGITS).largest_auroc_change == 0


def test_rounding_is_seen_in_the_distinct_values():
    assert parity(np.round(LOGITS)).findings["B"].distinct_values[0] < 10


@pytest.mark.parametrize("value", [2e-4, math.nan, math.inf])
def test_one_logit_beyond_the_limit_is_a_violation(value):
    logits = LOGITS.copy()
    logits[3, 1] += value
    assert "a logit differs by" in parity(logits).violations()[0]


@pytest.mark.parametrize(("logit", "change", "fits"), [(9, 2e-4, False), (-170, 1.6e-3, True), (170, 1.8e-3, False)])
def test_limit_grows_in_proportion_to_a_large_logit(logit, change, fits):
    reference = LOGITS.copy()
    reference[0, 0] = logit
    logits = reference.copy()
    logits[0, 0] += change
    found = parity(logits, reference)
    assert found.largest == pytest.approx(change) and (found.violations() == []) == fits


def test_changed_auroc_is_a_violation_that_names_the_finding():
    logits = LOGITS.copy()
    logits[:, 1] *= -1
    found = parity(logits, limits=Limits(10.0, 0.01)).violations()
    assert len(found) == 1 and found[0].startswith("the AUROC of B changes by")


def test_one_swapped_pair_of_few_images_is_not_a_violation():
    logits, labels = np.arange(10.0)[:, None] / 1e5, (np.arange(10) == 4).astype(float)[:, None]
    swapped = logits.copy()
    swapped[[4, 5]] = swapped[[5, 4]]
    reference = Reference(("A",), logits * 1e4, labels)
    found = compare(reference, {"logits": swapped * 1e4}, Limits(1.0, 0.001))
    assert abs(found.findings["A"].auroc_change) == pytest.approx(1 / 9) and found.violations() == []


def test_model_that_barely_distinguishes_images_is_named_but_not_refused():
    noise = RNG.normal(size=LOGITS.shape) * 1e-6
    collapsed = LOGITS * 1e-6
    collapsed[:5] += 3  # a few outliers
    found = parity(collapsed + noise, reference=collapsed)
    assert (
        found.largest_auroc_change > 0.001
        and found.barely_distinguished == ["A", "B", "C"]
        and found.violations() == []
    )


@pytest.mark.parametrize("name", ["probabilities", "calibrated"])
def test_outputs_under_a_wrong_name_are_violations(name):
    wrong = expit(LOGITS * 3 + 1)
    assert parity(LOGITS, **{name: wrong}).violations() == [f"its output {name} does not follow from its logits"]


def test_decisions_that_do_not_follow_from_the_probabilities_are_a_violation():
    for wrong in (np.zeros(LOGITS.shape, bool), np.ones(LOGITS.shape, bool)):
        assert parity(LOGITS, positive=wrong).violations() == ["its output positive does not follow from its logits"]


def test_without_calibration_and_labels_only_the_logits_are_compared():
    found = compare(Reference(("A", "B", "C"), LOGITS, LABELS * np.nan), {"logits": LOGITS + 1e-5}, FLOAT32)
    assert found.violations() == [] and found.undefined == ["A", "B", "C"] and found.decisions_changed is None


def test_calibrated_output_of_a_large_logit_is_that_of_the_clipped_one():
    """Calibrations are fitted on probabilities, which hold no larger logits."""
    coefficients = {"slope": [0.1], "intercept": [0.0], "threshold": [0.5]}
    assert expected(np.array([[-170.0]]), coefficients)["calibrated"][0, 0] == pytest.approx(expit(-3.0))

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, f1_score

from mamsf_keras.evaluation.operating_points import decisions, ppv_at, thresholds

pytestmark = pytest.mark.no_keras


@pytest.mark.parametrize("digits", [1, 8])
def test_thresholds_are_the_best_of_all(digits):
    rng = np.random.default_rng(digits)
    labels = (rng.random(120) < 0.25).astype(int)
    scores = np.clip(rng.normal(0.4, 0.15, 120) + 0.15 * labels, 0, 1).round(digits)
    found, candidates = thresholds(labels, scores), np.unique(scores)
    rates = {t: (np.mean(scores[labels == 1] >= t), np.mean(scores[labels == 0] < t)) for t in candidates}
    sensitivity, specificity = (np.mean(scores[labels == kind] >= found["youden"]) for kind in (1, 0))
    assert sensitivity + 1 - specificity == pytest.approx(max(sum(rate) for rate in rates.values()))
    at_90 = max(t for t, (rate, _) in rates.items() if rate >= 0.9)
    assert candidates[candidates >= found["sensitivity_90"]].min() == at_90
    best = max(f1_score(labels, scores >= t) for t in candidates)
    assert f1_score(labels, scores >= found["f1"]) == pytest.approx(best)


def test_threshold_lies_between_two_scores():
    assert thresholds([0, 0, 1, 1], [0.1, 0.2, 0.4, 0.9])["youden"] == pytest.approx(0.3)
    assert thresholds([1, 0], [0.2, 0.2])["youden"] == pytest.approx(0.1)


def test_no_threshold_for_only_one_class():
    assert set(thresholds([0, 0], [0.1, 0.2]).values()) == {None}
    assert set(thresholds([], []).values()) == {None}


def test_decisions_are_counted_as_by_scikit_learn():
    rng = np.random.default_rng(0)
    labels, positive = rng.integers(0, 2, 50), rng.integers(0, 2, 50).astype(bool)
    row = decisions(labels, positive)
    expected = confusion_matrix(labels, positive).ravel().tolist()
    assert [row[f"{a}_{b}s"] for a, b in TABLE] == expected
    assert row["ppv"] == expected[3] / (expected[1] + expected[3])
    assert row["sensitivity"] == expected[3] / (expected[2] + expected[3])
    assert decisions([0, 0], [False, False])["sensitivity"] is None and decisions([0], [False])["ppv"] is None


TABLE = (("true", "negative"), ("false", "positive"), ("false", "negative"), ("true", "positive"))


def test_ppv_at_the_prevalence_of_the_data_is_their_own_and_falls_with_prevalence():
    row = decisions([1] * 20 + [0] * 80, [True] * 18 + [False] * 2 + [True] * 8 + [False] * 72)
    assert ppv_at(0.2, row["sensitivity"], row["specificity"]) == pytest.approx(row["ppv"])
    assert ppv_at(0.01, 0.9, 0.9) == pytest.approx(0.009 / (0.009 + 0.099))
    assert ppv_at(0.01, None, 0.9) is None

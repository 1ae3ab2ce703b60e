import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mamsf_keras.evaluation.delong import delong_interval, delong_variance

pytestmark = pytest.mark.no_keras


def variance_by_definition(labels, scores):
    """DeLong's equations with all pairs of a positive and a negative, a tie counting one half."""
    positive, negative = scores[labels == 1], scores[labels == 0]
    pairs = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    return pairs.mean(axis=1).var(ddof=1) / len(positive) + pairs.mean(axis=0).var(ddof=1) / len(negative)


def test_midranks_equal_the_definition_on_50_cases():
    rng = np.random.default_rng(0)
    for _ in range(50):
        labels = rng.permutation(np.arange(rng.integers(6, 200)) < rng.integers(2, 5)).astype(int)
        scores = (rng.normal(size=len(labels)) + labels).round(rng.choice([0, 1, 8]))
        assert delong_variance(labels, scores) == pytest.approx(variance_by_definition(labels, scores), rel=1e-12)


def test_standard_error_is_the_spread_of_repeated_samples():
    rng = np.random.default_rng(0)
    labels = np.arange(300) < 60
    samples = rng.normal(size=(2000, 300)) + labels
    spread = np.var([roc_auc_score(labels, scores) for scores in samples])
    estimates = [delong_variance(labels, scores) for scores in samples[:300]]
    assert np.mean(estimates) == pytest.approx(spread, rel=0.06)


def test_interval_is_undefined_without_two_of_each_kind_or_at_the_ends():
    with pytest.raises(ValueError, match="two positives and two negatives. Received: 1 and 2."):
        delong_variance(np.array([1, 0, 0]), np.array([0.5, 0.2, 0.1]))
    assert delong_interval(1.0, 0.0) is None
    labels = np.arange(90) % 7 == 0
    assert delong_interval(0.5, delong_variance(labels, np.full(90, 0.1))) is None
    low, high = delong_interval(0.5, 0.01)
    assert low == pytest.approx(1 - high) and high == pytest.approx(1 / (1 + np.exp(-1.959964 * 0.1 / 0.25)))

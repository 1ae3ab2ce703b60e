import numpy as np
import pytest
import statsmodels.api as sm
from sklearn.metrics import brier_score_loss

from mamsf_keras.evaluation.calibration import platt_scaling
from mamsf_keras.evaluation.reliability import equal_mass_bins, logistic_fit, logits, reliability

pytestmark = pytest.mark.no_keras


def overconfident(images=400):
    rng = np.random.default_rng(0)
    scores = rng.normal(-1, 1, images)
    labels = (rng.random(images) < 1 / (1 + np.exp(-scores))).astype(float)
    return labels, 1 / (1 + np.exp(-2 * scores - 0.5))


def test_slope_and_intercept_equal_those_of_statsmodels_and_brier_equals_scikit_learn():
    labels, probabilities = overconfident()
    scores, binomial = np.log(probabilities / (1 - probabilities)), sm.families.Binomial()
    slope = sm.GLM(labels, sm.add_constant(scores), family=binomial).fit().params[1]
    intercept = sm.GLM(labels, np.ones(len(labels)), offset=scores, family=binomial).fit().params[0]
    found = reliability(labels, probabilities)
    assert found["calibration_slope"] == pytest.approx(slope, abs=1e-6) and slope < 0.7
    assert found["calibration_intercept"] == pytest.approx(intercept, abs=1e-6)
    assert found["brier"] == pytest.approx(brier_score_loss(labels, probabilities), abs=1e-12)


@pytest.mark.parametrize("scores", [(0.95, 1.0), (0.0, 0.05)])
def test_the_outer_bins_of_equal_width_include_both_ends(scores):
    assert reliability(np.array([1, 0]), np.array(scores))["ece_equal_width"] == pytest.approx(0.475)


def test_bins_of_equal_mass_by_hand_and_ties_in_one_bin():
    rng = np.random.default_rng(0)
    labels, probabilities = (rng.random(150) < 0.4).astype(float), rng.permutation(np.linspace(0.01, 0.99, 150))
    order = np.argsort(probabilities).reshape(15, 10)
    gaps = [abs(labels[rows].mean() - probabilities[rows].mean()) for rows in order]
    assert reliability(labels, probabilities)["ece"] == pytest.approx(np.mean(gaps))
    tied = equal_mass_bins(np.repeat([0.2, 0.7, 0.8], [100, 3, 47]))
    assert len(set(tied[:100])) == 1 and len(set(tied[100:103])) == 1
    assert reliability(np.array([1, 0, 0, 0]), np.full(4, 0.5))["ece"] == pytest.approx(0.25)


def test_undefined_values_are_none():
    assert set(reliability(np.zeros(0), np.zeros(0)).values()) == {None}
    single_class = reliability(np.zeros(3), np.array([0.1, 0.2, 0.3]))
    assert single_class["calibration_slope"] is None and single_class["calibration_intercept"] is None
    assert single_class["brier"] == pytest.approx((0.01 + 0.04 + 0.09) / 3)
    separated = reliability(np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.8, 0.9]))
    assert separated["calibration_slope"] is None and separated["calibration_intercept"] == pytest.approx(0, abs=1e-6)
    assert reliability(np.array([0, 1]), np.array([0.5, 0.5]))["calibration_slope"] is None


def test_logits_of_0_and_1_are_finite():
    assert logits(np.array([0.0, 0.5, 1.0])).tolist() == [-30, 0, 30]


def awkward_scores(rng, images=200):
    """Nearly equal float32 probabilities, tiny ones, and columns that are half zeros."""
    base = np.float32(rng.choice([1e-6, 0.05, 0.5]))
    steps = base + np.spacing(base) * rng.integers(0, rng.integers(2, 5), images)
    tiny = 10.0 ** -rng.integers(5, 40, images)
    zeros = np.where(rng.random(images) < 0.5, 0, rng.random(images))
    return np.float32(steps).astype(float), tiny, tiny / 1e9, zeros


@pytest.mark.parametrize("seed", range(40))
def test_awkward_scores_give_a_finite_fit_or_none(seed):
    rng = np.random.default_rng(seed)
    labels = (rng.random(200) < rng.choice([0.02, 0.1, 0.5])).astype(float)
    labels[:2] = 0, 1
    for probabilities in awkward_scores(rng):
        fits = (*reliability(labels, probabilities).values(), *platt_scaling(labels, probabilities))
        assert all(value is None or np.isfinite(value) for value in fits)


def test_fit_of_nearly_equal_scores_equals_that_of_statsmodels_on_standardized_scores():
    rng = np.random.default_rng(1)
    labels = (rng.random(400) < 0.3).astype(float)
    probabilities = np.float32(0.05) + np.spacing(np.float32(0.05)) * rng.integers(0, 3, 400).astype(np.float32)
    scores = logits(probabilities.astype(float))
    standard = sm.add_constant((scores - scores.mean()) / scores.std())
    expected = sm.GLM(labels, standard, family=sm.families.Binomial()).fit()
    slope, intercept = logistic_fit(scores, labels)
    assert slope == pytest.approx(expected.params[1] / scores.std(), rel=1e-6)
    np.testing.assert_allclose(slope * scores + intercept, standard @ expected.params, atol=1e-6)
    assert logistic_fit(np.full(400, 0.1), labels) is None

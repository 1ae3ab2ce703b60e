import numpy as np
import pytest
from sklearn.metrics import precision_recall_curve, roc_curve

from mamsf_keras.evaluation.bootstrap import PatientBootstrap
from mamsf_keras.evaluation.calibration import fit_calibration
from mamsf_keras.evaluation.curves import FALSE_POSITIVE_RATES, RECALLS, all_curves, calibration_curve, ranking_curves
from mamsf_keras.evaluation.reliability import reliability
from tests.evaluation.test_predictions import predictions

pytestmark = pytest.mark.no_keras


def case(seed, images=90):
    """Labels, tied scores and patients of about 4 images."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(images) < rng.choice([0.05, 0.3, 0.6])).astype(float)
    labels[:2] = 0, 1
    scores = (rng.random(images) + 0.4 * labels).round(rng.choice([1, 2, 12])) / 2
    return labels, scores, rng.integers(0, max(images // 4, 1), images)


def expected(labels, scores, weights=None):
    """The curves of scikit-learn on the grids."""
    x, y, _ = roc_curve(labels, scores, sample_weight=weights, drop_intermediate=False)
    sensitivity = np.interp(FALSE_POSITIVE_RATES, x, y)
    precision, recall, _ = precision_recall_curve(labels, scores, sample_weight=weights)
    # From the lowest to the highest threshold, without the point that scikit-learn adds at recall 0.
    at_recall = [precision[:-1][recall[:-1] >= value - 1e-12][-1] for value in RECALLS]
    return sensitivity, np.array(at_recall)


@pytest.mark.parametrize("seed", range(40))
def test_curves_equal_scikit_learn(seed):
    labels, scores, patients = case(seed)
    roc, precision_recall = ranking_curves(labels, scores, PatientBootstrap(patients, 2))
    sensitivity, precision = expected(labels, scores)
    np.testing.assert_allclose(roc.y, sensitivity, atol=1e-9)
    np.testing.assert_allclose(precision_recall.y, precision, atol=1e-9)
    assert roc.y[-1] == 1 and precision_recall.y[-1] >= labels.mean() - 1e-12


def test_band_is_of_the_curves_of_scikit_learn_with_patients_as_weights(monkeypatch):
    labels, scores, patients = case(3, images=200)
    assert len(np.unique(patients[labels == 1])) > 10
    bootstrap = PatientBootstrap(patients, 30)
    curves = ranking_curves(labels, scores, bootstrap)
    weights = [bootstrap.counts[bootstrap.patient, draw] for draw in range(30)]
    for curve, rows in zip(curves, zip(*(expected(labels, scores, w) for w in weights), strict=True), strict=True):
        low, high = np.percentile(rows, [2.5, 97.5], axis=0)
        np.testing.assert_allclose(curve.low, low, atol=1e-9)
        np.testing.assert_allclose(curve.high, high, atol=1e-9)
        assert (curve.low < curve.high).any() and (curve.low <= curve.high).all()
    monkeypatch.setattr("mamsf_keras.evaluation.bootstrap.CHUNK", 700)
    for one, other in zip(curves, ranking_curves(labels, scores, bootstrap), strict=True):
        np.testing.assert_array_equal(one, other)


def test_no_curve_for_one_class_and_no_band_for_few_patients():
    labels, scores, patients = case(2)
    assert ranking_curves(np.zeros(90), scores, PatientBootstrap(patients, 5)) == (None, None)
    few = np.zeros(90)
    few[[1, 30, 60]] = 1
    bootstrap = PatientBootstrap(np.arange(90), 5)
    for curve in (*ranking_curves(few, scores, bootstrap), calibration_curve(few, scores, bootstrap)):
        assert curve.low is None and curve.high is None and np.isfinite(curve.y).all()
    for curve in (*ranking_curves(1 - few, scores, bootstrap), calibration_curve(1 - few, scores, bootstrap)):
        assert curve.low is None and curve.high is None  # few negative patients
    assert calibration_curve(np.array([]), np.array([]), bootstrap) is None


def test_calibration_curve_equals_that_of_the_calibration_error():
    labels, scores, patients = case(3, images=3000)
    curve = calibration_curve(labels, scores, PatientBootstrap(patients, 20))
    counts = np.bincount(np.searchsorted(curve.x, scores - 1e-9).clip(max=len(curve.x) - 1))
    assert len(curve.x) == 15 and (np.diff(curve.x) > 0).all() and counts.sum() == 3000
    assert np.mean(np.abs(curve.y - curve.x)) == pytest.approx(reliability(labels, scores)["ece"], abs=2e-3)
    assert (curve.low <= curve.y + 1e-6).mean() > 0.9 and (curve.high >= curve.y - 1e-6).mean() > 0.9


def test_curves_of_a_finding_are_of_its_labeled_images():
    labels, scores, patients = case(4)
    other = np.full(90, np.nan)
    both = np.stack([labels, other], axis=1)
    both[5:20, 0] = np.nan
    rows = predictions(np.stack([scores, scores], axis=1), both, ("Mass", "Hernia"))
    known = ~np.isnan(both[:, 0])
    curves = all_curves(rows, fit_calibration(both, rows.probabilities, rows.findings, rows.patients))
    np.testing.assert_allclose(curves["Mass"]["roc"].y, expected(labels[known], scores[known])[0], atol=1e-9)
    assert curves["Mass"]["calibrated"].x.mean() != curves["Mass"]["calibration"].x.mean()
    assert curves["Hernia"] == dict.fromkeys(("roc", "precision_recall", "calibration", "calibrated"))
    assert all_curves(rows)["Mass"]["calibrated"] is None

import numpy as np
import pytest
from scipy.optimize import minimize

from mamsf_keras.evaluation.calibration import Calibration, fit_calibration, platt_scaling

pytestmark = pytest.mark.no_keras

PATIENTS = np.arange(300) // 2


def predictions():
    rng = np.random.default_rng(0)
    scores = rng.normal(-2, 1.5, (300, 3))
    labels = (rng.random((300, 3)) < 1 / (1 + np.exp(-0.5 * scores))).astype(float)
    labels[:, 1], labels[::3, 0] = 0, np.nan
    return labels, 1 / (1 + np.exp(-scores))


def test_platt_scaling_minimizes_platts_loss():
    labels, probabilities = (column[:, 2] for column in predictions())
    scores, n = np.log(probabilities / (1 - probabilities)), labels.sum()
    target = np.where(labels == 1, (n + 1) / (n + 2), 1 / (len(labels) - n + 2))

    def loss(parameters):
        logit = parameters[0] * scores + parameters[1]
        return np.sum(np.logaddexp(0, logit) - target * logit)

    expected = minimize(loss, [1.0, 0.0], tol=1e-12).x
    assert platt_scaling(labels, probabilities) == pytest.approx(expected, abs=1e-5)


def test_platt_scaling_is_finite_for_separated_labels_and_undefined_for_one_class_or_one_score():
    slope, intercept = platt_scaling(np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.8, 0.9]))
    assert 0 < slope < 1 and intercept == pytest.approx(0, abs=1e-6)
    assert platt_scaling(np.zeros(4), np.array([0.1, 0.2, 0.8, 0.9])) == (None, None)
    assert platt_scaling(np.array([0, 1]), np.array([0.5, 0.5])) == (None, None)
    assert platt_scaling(np.array([1, 0, 1, 0]), np.array([0.1, 0.2, 0.3, 0.9])) == (None, None)  # would reverse


def test_calibration_of_each_finding_survives_its_file(tmp_path):
    labels, probabilities = predictions()
    fitted = fit_calibration(labels, probabilities, ("A", "B", "C"), PATIENTS, "abc")
    fitted.save(tmp_path / "calibration.json")
    assert Calibration.load(tmp_path / "calibration.json") == fitted
    assert (fitted.images, fitted.patients, fitted.model_sha256) == (300, 150, "abc")
    known = ~np.isnan(labels[:, 0])
    assert fitted.findings["A"].positives == labels[known, 0].sum()
    assert fitted.findings["A"].prevalence == pytest.approx(labels[known, 0].mean())
    assert fitted.findings["A"].positive_patients == len(set(PATIENTS[labels[:, 0] == 1]))
    calibrated = fitted.apply("C", probabilities[:, 2])
    assert calibrated.mean() == pytest.approx(labels[:, 2].mean(), abs=0.01)
    assert (np.argsort(calibrated) == np.argsort(probabilities[:, 2])).all()


def test_findings_without_a_fit_are_none_and_few_patients_are_marked():
    labels, probabilities = predictions()
    fitted = fit_calibration(labels, probabilities, ("A", "B", "C"), PATIENTS)
    assert fitted.findings["B"].slope is None and set(fitted.findings["B"].thresholds.values()) == {None}
    assert fitted.apply("B", probabilities[:, 1]) is None and fitted.apply("D", probabilities[:, 1]) is None
    assert fitted.findings["B"].unstable and not fitted.findings["C"].unstable
    few = np.where(np.arange(300) < 30, labels[:, 2], 0)[:, None]
    assert fit_calibration(few, probabilities[:, 2:], ("C",), PATIENTS).findings["C"].unstable


def test_damaged_file_is_an_error(tmp_path):
    for text in ("{", "[]", '{"schema_version": 9}'):
        (tmp_path / "calibration.json").write_text(text)
        with pytest.raises(ValueError, match="is damaged or is not a calibration of version 1. Remove it"):
            Calibration.load(tmp_path / "calibration.json")

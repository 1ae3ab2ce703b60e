"""ROC, precision-recall and calibration curves with pointwise bands from the bootstrap of the patients."""

from typing import NamedTuple

import numpy as np

from mamsf_keras.config import FEWEST_PATIENTS
from mamsf_keras.evaluation.bootstrap import PatientBootstrap, Ranking
from mamsf_keras.evaluation.calibration import Calibration
from mamsf_keras.evaluation.predictions import Predictions
from mamsf_keras.evaluation.reliability import equal_mass_bins

DRAWS = 200
"""Number of resamples of the patients for the bands."""

FALSE_POSITIVE_RATES = np.linspace(0, 1, 101) ** 2
"""Where the ROC curve is drawn: denser on the left, where curves are steep."""

RECALLS = np.linspace(0.01, 1, 100)
"""Where the precision-recall curve is drawn."""


class Curve(NamedTuple):
    """A curve and its pointwise 95% band, arrays of equal length.

    The band is None with fewer than `FEWEST_PATIENTS` positive or negative patients.
    """

    x: np.ndarray
    y: np.ndarray
    low: np.ndarray | None
    high: np.ndarray | None


def all_curves(predictions: Predictions, calibration: Calibration | None = None) -> dict[str, dict[str, Curve | None]]:
    """Returns the curves of each finding.

    Args:
        predictions: the predictions of one split.
        calibration: the calibration; needed for the curves of calibrated probabilities.

    Returns:
        `roc`, `precision_recall`, `calibration` and `calibrated` by finding. The first two are None if the images
        contain only one class. The last two are None without labeled images, and `calibrated` also if the finding has
        no calibration.
    """
    draws = PatientBootstrap(predictions.patients, DRAWS)
    curves: dict[str, dict[str, Curve | None]] = {}
    for i, name in enumerate(predictions.findings):
        observed = ~np.isnan(predictions.labels[:, i])
        labels, probabilities = predictions.labels[observed, i], predictions.probabilities[observed, i]
        taken = draws.take(observed)
        roc, precision_recall = ranking_curves(labels, probabilities, taken)
        calibrated = calibration.apply(name, probabilities) if calibration else None
        curves[name] = {
            "roc": roc,
            "precision_recall": precision_recall,
            "calibration": calibration_curve(labels, probabilities, taken),
            "calibrated": None if calibrated is None else calibration_curve(labels, calibrated, taken),
        }
    return curves


def ranking_curves(labels: np.ndarray, scores: np.ndarray, bootstrap: PatientBootstrap) -> tuple:
    """Returns the ROC curve at `FALSE_POSITIVE_RATES` and the precision-recall curve at `RECALLS`.

    The sensitivity at a false-positive rate is the highest one, with linear interpolation where scores are tied. The
    precision at a recall is that of the highest threshold that reaches this recall, as in average precision.

    Args:
        labels: `(images,)`, 1 or 0.
        scores: `(images,)`, higher for positive.
        bootstrap: the patients of these images, and the draws for the bands.

    Returns:
        Two `Curve` objects, or None twice if the labels contain only one class.
    """
    positive = np.asarray(labels) == 1
    if positive.all() or not positive.any():
        return None, None
    patients = len(bootstrap.counts)
    ranking = Ranking(positive, np.asarray(scores, float), bootstrap.patient, patients)
    sensitivity, precision = _at_grid(ranking, np.ones((patients, 1), np.float32))
    bands: tuple = (None, None), (None, None)
    if min(bootstrap.patients_by_class(positive)) >= FEWEST_PATIENTS:
        resampled = zip(*(_at_grid(ranking, counts) for counts in bootstrap.chunks(ranking.rows)), strict=True)
        bands = tuple(_band(np.concatenate(rows)) for rows in resampled)
    return Curve(FALSE_POSITIVE_RATES, sensitivity[0], *bands[0]), Curve(RECALLS, precision[0], *bands[1])


def _at_grid(ranking: Ranking, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns sensitivity and precision on the grids, `(resamples, points)` for counts `(patients, resamples)`.

    Resamples without positives or negatives are left out.
    """
    positive, tied, between = (ranking.matrix @ counts).astype(np.float64).reshape(3, ranking.steps, -1)
    hits, alarms = positive.cumsum(axis=0).T, (tied + between).cumsum(axis=0).T
    before = alarms - tied.T  # negatives above the positives of a step
    usable = np.flatnonzero((hits[:, -1] > 0) & (alarms[:, -1] > 0))
    sensitivity, precision = np.empty((len(usable), len(FALSE_POSITIVE_RATES))), np.empty((len(usable), len(RECALLS)))
    for row, i in enumerate(usable):
        x = np.stack([before[i], alarms[i]], axis=1).ravel()
        y = np.stack([hits[i] - positive[:, i], hits[i]], axis=1).ravel()
        sensitivity[row] = np.interp(FALSE_POSITIVE_RATES * alarms[i, -1], x, y) / hits[i, -1]
        first = np.searchsorted(hits[i], RECALLS * hits[i, -1] * (1 - 1e-12))
        precision[row] = hits[i, first] / (hits[i, first] + alarms[i, first])
    return sensitivity, precision


def calibration_curve(labels: np.ndarray, probabilities: np.ndarray, bootstrap: PatientBootstrap) -> Curve | None:
    """Returns the share of positives (y) against the mean probability (x) of the 15 bins of equal counts of `ece`.

    Args:
        labels: `(images,)`, 1 or 0.
        probabilities: `(images,)`, in [0, 1].
        bootstrap: the patients of these images, and the draws for the bands.

    Returns:
        None without images.
    """
    if len(labels) == 0:
        return None
    _, bins = np.unique(equal_mass_bins(probabilities), return_inverse=True)
    images = np.bincount(bins)
    x, y = np.bincount(bins, probabilities) / images, np.bincount(bins, labels) / images
    if min(bootstrap.patients_by_class(np.asarray(labels))) < FEWEST_PATIENTS:
        return Curve(x, y, None, None)
    members = np.eye(len(images), dtype=np.float32)[bins]
    sums = bootstrap.sums(np.concatenate([members * np.asarray(labels, np.float32)[:, None], members], axis=1))
    with np.errstate(invalid="ignore"):  # 0 / 0 where a resample has no image of the bin
        shares = sums[: len(images)] / sums[len(images) :]
    return Curve(x, y, *_band(shares.T))


def _band(resampled) -> tuple[np.ndarray, np.ndarray]:
    """Returns the limits of the middle 95% of the resamples at each point, for values `(resamples, points)`."""
    low, high = np.nanpercentile(resampled, [2.5, 97.5], axis=0)
    return low, high

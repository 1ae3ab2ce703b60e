"""Agreement of probabilities with outcomes: Brier score, calibration slope and intercept, calibration error."""

import warnings

import numpy as np
from scipy.linalg import LinAlgWarning
from scipy.optimize import brentq
from scipy.special import expit, logit
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from mamsf_keras.evaluation.bootstrap import ROUNDING

LARGEST_LOGIT = 30.0
"""Logits are clipped to this absolute value, because a probability of 0 or 1 has an infinite logit."""


def logits(probabilities: np.ndarray) -> np.ndarray:
    """Returns the logits of probabilities in [0, 1], clipped to `LARGEST_LOGIT`."""
    return np.clip(logit(np.asarray(probabilities, float)), -LARGEST_LOGIT, LARGEST_LOGIT)


def reliability(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float | None]:
    """Computes how well the probabilities of one finding agree with its labels.

    Args:
        labels: `(images,)`, 1 or 0.
        probabilities: `(images,)`, in [0, 1].

    Returns:
        `brier`, the mean squared error; `calibration_slope`, the coefficient of a logistic regression of the labels
        on the logits (1 is ideal; below 1, the probabilities are too extreme); `calibration_intercept`, the intercept
        of such a regression with the slope fixed at 1 (0 is ideal; below 0, the probabilities are too high; B. Van
        Calster et al., Journal of Clinical Epidemiology 74:167, 2016); `ece`, the expected calibration error over 15
        bins of equal counts; and `ece_equal_width`, that over 10 bins of equal width. None where undefined.
    """
    if len(labels) == 0:
        return dict.fromkeys(("brier", "calibration_slope", "calibration_intercept", "ece", "ece_equal_width"))
    labels, probabilities = np.asarray(labels, float), np.asarray(probabilities, float)
    slope, intercept = slope_and_intercept(labels, logits(probabilities))
    return {
        "brier": float(np.mean((labels - probabilities) ** 2)),
        "calibration_slope": slope,
        "calibration_intercept": intercept,
        "ece": calibration_error(labels, probabilities, equal_mass_bins(probabilities)),
        "ece_equal_width": calibration_error(labels, probabilities, equal_width_bins(probabilities)),
    }


def slope_and_intercept(labels: np.ndarray, scores: np.ndarray) -> tuple[float | None, float | None]:
    """Returns the calibration slope and the calibration intercept for logits `scores`.

    The slope is None where it is not finite, because the logits separate the labels or are all equal, and where the
    fit does not converge. Both are None if the labels contain only one class.
    """
    positive = labels == 1
    if positive.all() or not positive.any():
        return None, None
    intercept = brentq(lambda shift: np.mean(labels - expit(scores + shift)), -100, 100)
    lower, upper = scores[~positive], scores[positive]
    separated = lower.max() <= upper.min() or upper.max() <= lower.min()
    fit = None if separated else logistic_fit(scores, labels)
    return (None if fit is None else fit[0]), float(intercept)


def logistic_fit(
    scores: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None
) -> tuple[float, float] | None:
    """Fits an unpenalized logistic regression of 0/1 labels on scores `(images,)`.

    The scores are standardized for the fit. Otherwise, nearly equal scores would make its equations singular.

    Returns:
        Slope and intercept, or None if the scores are all equal or the fit does not converge.
    """
    center, spread = scores.mean(), scores.std()
    if np.ptp(scores) <= ROUNDING * np.abs(scores).max():
        return None
    model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-8, max_iter=200)
    with warnings.catch_warnings():
        for category in (ConvergenceWarning, LinAlgWarning):
            warnings.simplefilter("error", category)
        try:
            model.fit(((scores - center) / spread)[:, None], labels, sample_weight=weights)
        except (ConvergenceWarning, LinAlgWarning):
            return None
    slope = float(model.coef_[0, 0] / spread)
    return slope, float(model.intercept_[0] - slope * center)


def equal_mass_bins(probabilities: np.ndarray, bins: int = 15) -> np.ndarray:
    """Returns the bin of each probability, int `(images,)`: bins of equal counts, equal values in one bin."""
    values, index, counts = np.unique(probabilities, return_inverse=True, return_counts=True)
    middle = (counts.cumsum() - counts / 2) / len(probabilities)
    return (middle * bins).astype(int)[index]


def equal_width_bins(probabilities: np.ndarray, bins: int = 10) -> np.ndarray:
    """Returns the bin of each probability, int `(images,)`: bins of equal width; the last one includes 1."""
    return np.minimum((probabilities * bins).astype(int), bins - 1)


def calibration_error(labels: np.ndarray, probabilities: np.ndarray, bins: np.ndarray) -> float:
    """Returns the expected calibration error, the mean over images of |mean label - mean probability| of their bin."""
    differences = np.bincount(bins, labels - probabilities)
    return float(np.abs(differences).sum() / len(labels))

"""Thresholds that turn probabilities into decisions, and the quality of the decisions."""

import numpy as np
from sklearn.metrics import roc_curve

from mamsf_keras.config import OPERATING_POINTS


def thresholds(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float | None]:
    """Returns the threshold of each operating point: an image is positive if its probability is at least as high.

    A threshold lies halfway between two neighboring scores, so that rounding of a score changes no decision.

    Args:
        labels: `(images,)`, 1 or 0.
        probabilities: `(images,)`, in [0, 1].

    Returns:
        A number for each name of `OPERATING_POINTS`; None if the labels contain only one class.
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, float)
    positives = int((labels == 1).sum())
    if positives in (0, len(labels)):
        return dict.fromkeys(OPERATING_POINTS)
    false_rate, sensitivity, scores = roc_curve(labels, probabilities, drop_intermediate=False)
    false_rate, sensitivity, scores = false_rate[1:], sensitivity[1:], scores[1:]  # the first calls nothing positive
    hits, alarms = sensitivity * positives, false_rate * (len(labels) - positives)
    chosen = {
        "youden": np.argmax(sensitivity - false_rate),
        "sensitivity_90": np.argmax(hits >= 0.9 * positives - 1e-9),
        "f1": np.argmax(2 * hits / (positives + hits + alarms)),
    }
    lower = np.append(scores[1:], 0.0)
    return {name: float((scores[i] + lower[i]) / 2) for name, i in chosen.items()}


def decisions(labels: np.ndarray, positive: np.ndarray) -> dict[str, int | float | None]:
    """Counts the decisions of one finding and computes their rates.

    Args:
        labels: `(images,)`, 1 or 0.
        positive: the decisions, bool `(images,)`.

    Returns:
        `true_positives`, `false_positives`, `true_negatives`, `false_negatives`, `sensitivity`, `specificity` and
        `ppv`, the positive predictive value at the prevalence of these images. None where the denominator is 0.
    """
    truth, positive = np.asarray(labels) == 1, np.asarray(positive, bool)
    counts = {
        "true_positives": int((truth & positive).sum()),
        "false_positives": int((~truth & positive).sum()),
        "true_negatives": int((~truth & ~positive).sum()),
        "false_negatives": int((truth & ~positive).sum()),
    }
    hits, alarms, rejections, misses = counts.values()
    return {
        **counts,
        "sensitivity": _share(hits, hits + misses),
        "specificity": _share(rejections, rejections + alarms),
        "ppv": _share(hits, hits + alarms),
    }


def ppv_at(prevalence: float, sensitivity: float | None, specificity: float | None) -> float | None:
    """Returns the positive predictive value at another prevalence, by Bayes' rule."""
    if sensitivity is None or specificity is None:
        return None
    hits, alarms = prevalence * sensitivity, (1 - prevalence) * (1 - specificity)
    return _share(hits, hits + alarms)


def _share(count, total) -> float | None:
    return count / total if total else None

"""DeLong's interval of an AUROC, which assumes independent images.

It is reported next to the patient-level interval to show the effect of this assumption. E. R. DeLong et al., Biometrics
44:837 (1988), in the form with midranks of X. Sun and W. Xu, IEEE Signal Processing Letters 21:1389 (2014).
"""

import numpy as np
from scipy import stats

from mamsf_keras.evaluation.bootstrap import ROUNDING


def delong_variance(labels: np.ndarray, scores: np.ndarray) -> float:
    """Returns the variance of an AUROC over independent images.

    Args:
        labels: `(images,)`, 1 or 0, at least two of each.
        scores: `(images,)`, higher for positive. Ties count one half.

    Raises:
        ValueError: if there are fewer than two positives or two negatives.
    """
    positive = np.asarray(labels) == 1
    m, n = int(positive.sum()), int((~positive).sum())
    if min(m, n) < 2:
        raise ValueError(f"The variance needs two positives and two negatives. Received: {m} and {n}.")
    ranks = stats.rankdata(scores)
    above = (ranks[positive] - stats.rankdata(scores[positive])) / n  # share of negatives below each positive
    below = 1 - (ranks[~positive] - stats.rankdata(scores[~positive])) / m  # share of positives above each negative
    return float(above.var(ddof=1) / m + below.var(ddof=1) / n)


def delong_interval(auroc: float, variance: float, level: float = 0.95) -> tuple[float, float] | None:
    """Returns the normal interval on the logit scale, or None if the AUROC is 0 or 1 or the variance is 0."""
    if not 0 < auroc < 1 or np.sqrt(variance) <= ROUNDING:
        return None
    half = stats.norm.ppf((1 + level) / 2) * np.sqrt(variance) / (auroc * (1 - auroc))
    low, high = 1 / (1 + np.exp(-(np.log(auroc / (1 - auroc)) + np.array([-half, half]))))
    return float(low), float(high)

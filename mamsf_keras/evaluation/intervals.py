"""The intervals of a finding besides those of AUROC and average precision: rates, and DeLong's."""

from collections.abc import Mapping

import numpy as np

from mamsf_keras.evaluation.bootstrap import PatientBootstrap, limits, logit_interval
from mamsf_keras.evaluation.delong import delong_interval, delong_variance


def rate_intervals(row: Mapping, truth: np.ndarray, positive: np.ndarray, bootstrap: PatientBootstrap) -> dict:
    """Returns the intervals of the sensitivity, specificity and PPV in `row`, for truth and decisions `(images,)`."""
    hits = (truth & positive, ~truth & ~positive, truth & positive)
    of = (truth, ~truth, positive)
    sums = bootstrap.sums(np.stack([*hits, *of], axis=1))
    with np.errstate(invalid="ignore"):  # 0 / 0 where a resample has no such image
        resampled = sums[:3] / sums[3:]
    return {
        f"{rate}_interval": limits(logit_interval(row[rate], values, bootstrap.patients_with(images)))
        for rate, values, images in zip(("sensitivity", "specificity", "ppv"), resampled, of, strict=True)
    }


def image_interval(labels: np.ndarray, probabilities: np.ndarray, auroc: float | None) -> list[float] | None:
    """Returns DeLong's interval, which assumes independent images; None if it is undefined or has no width."""
    if auroc is None or not 2 <= labels.sum() <= len(labels) - 2:
        return None
    interval = delong_interval(auroc, delong_variance(labels, probabilities))
    return None if interval is None else list(interval)

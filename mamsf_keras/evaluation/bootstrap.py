"""Confidence intervals from a bootstrap of patients.

The images of a patient are correlated, so an interval that treats them as independent is too narrow (the official test
split of ChestX-ray14 has 9 images per patient). Patients are therefore drawn with replacement, each with all of its
images.
"""

import copy
import dataclasses
from collections.abc import Iterator

import numpy as np
from scipy import sparse, stats

from mamsf_keras.config import FEWEST_PATIENTS

RESAMPLES = 2000
"""Default number of resamples."""

ROUNDING = 1e-12
"""Differences and standard errors up to this size are rounding errors."""

LEAST_USABLE = 0.5
"""Share of the resamples in which a value must be defined for its interval to be reported."""

CHUNK = 2_000_000
"""Numbers per temporary array. This limits memory use and keeps the arrays in the CPU cache."""


@dataclasses.dataclass(frozen=True)
class Interval:
    """A confidence interval.

    Attributes:
        low: lower limit.
        high: upper limit.
        usable: share of the resamples in which the value was defined, in [0, 1].
    """

    low: float
    high: float
    usable: float


class PatientBootstrap:
    """Draws patients with replacement, the same draws for every metric, finding and model.

    ```python
    bootstrap = PatientBootstrap(["1", "1", "2", "3"])
    auroc, average_precision = bootstrap.scores([1, 0, 0, 1], [0.9, 0.2, 0.4, 0.7])  # 2,000 values each
    ```

    Args:
        patients: the patient of each image, `(images,)`.
        resamples: number of resamples.
        seed: seed of the draws.

    Attributes:
        patient: the number of the patient of each image, int `(images,)`.
        counts: how often each resample contains each patient, float32 `(patients, resamples)`.
    """

    def __init__(self, patients: np.ndarray, resamples: int = RESAMPLES, seed: int = 0) -> None:
        names, self.patient = np.unique(np.asarray(patients), return_inverse=True)
        rng, n = np.random.default_rng(seed), len(names)
        draws = np.empty((resamples, n), np.uint8)  # a count above 255 has a probability below 1e-500
        for draw in draws:
            draw[:] = np.bincount(rng.integers(n, size=n), minlength=n)
        self.counts = draws.T.astype(np.float32, order="C")

    def scores(self, labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns AUROC and average precision of each resample, NaN where it lacks positives or negatives.

        Args:
            labels: `(images,)`, 1, 0, or NaN where the label is missing.
            scores: `(images,)`, higher for positive.

        Returns:
            Two arrays `(resamples,)`.
        """
        labels, scores = np.asarray(labels, float), np.asarray(scores, float)
        observed = ~np.isnan(labels)
        ranking = Ranking(labels[observed] == 1, scores[observed], self.patient[observed], len(self.counts))
        parts = [ranking.scores(counts) for counts in self.chunks(ranking.rows)]
        auroc, average_precision = np.concatenate(parts, axis=1)
        return auroc, average_precision

    def take(self, rows: np.ndarray) -> "PatientBootstrap":
        """Returns the same draws for some of the images, by index or mask. An image may be taken several times."""
        taken = copy.copy(self)
        taken.patient = self.patient[rows]
        return taken

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Returns the sum over the images of each resample, `(columns, resamples)`.

        The sensitivity of a resample is such a sum of true positives over one of positives.

        Args:
            values: counts, `(images, columns)`.
        """
        values = np.asarray(values, np.float32)
        by_patient = np.stack([np.bincount(self.patient, column, len(self.counts)) for column in values.T])
        return by_patient.astype(np.float32) @ self.counts

    def patients_with(self, images: np.ndarray) -> int:
        """Returns the number of patients with at least one of the images, bool `(images,)`."""
        return len(np.unique(self.patient[np.asarray(images, bool)]))

    def patients_by_class(self, labels: np.ndarray) -> tuple[int, int]:
        """Returns the numbers of patients with a positive and with a negative image, for 1/0/NaN labels `(images,)`."""
        return self.patients_with(labels == 1), self.patients_with(labels == 0)

    def chunks(self, rows: int) -> Iterator[np.ndarray]:
        """Yields the counts in parts `(patients, resamples)`, small enough for arrays of `rows` rows per resample."""
        step = max(CHUNK // max(rows, 1), 1)
        for start in range(0, self.counts.shape[1], step):
            yield self.counts[:, start : start + step]


class Ranking:
    """The images of one finding in the order of their scores, counted by patient.

    AUROC and average precision depend on the counts of three kinds of images at each distinct score t of a positive:
    positives at t, negatives at t, and negatives between t and the next higher such score. One sparse matrix turns
    the patients of a resample into these counts.

    Args:
        positive: bool `(images,)`.
        scores: `(images,)`.
        patient: the number of the patient of each image, int `(images,)`.
        patients: number of patients.

    Attributes:
        rows: number of counts per resample.
    """

    def __init__(self, positive: np.ndarray, scores: np.ndarray, patient: np.ndarray, patients: int) -> None:
        thresholds = np.unique(scores[positive])
        self.steps = len(thresholds) + 1  # the last holds the negatives below all positives
        step = len(thresholds) - np.searchsorted(thresholds, scores, side="right")
        kind = np.where(positive, 0, np.where(np.isin(scores, thresholds), 1, 2))
        self.rows = 3 * self.steps
        ones = np.ones(len(scores), np.float32)
        self.matrix = sparse.csr_array((ones, (kind * self.steps + step, patient)), shape=(self.rows, patients))

    def scores(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns AUROC and average precision `(resamples,)` for counts of the patients `(patients, resamples)`."""
        positive, tied, between = (self.matrix @ counts).astype(np.float64).reshape(3, self.steps, -1)
        hits = positive.cumsum(axis=0)
        false_alarms = (tied + between).cumsum(axis=0)
        with np.errstate(invalid="ignore"):  # a resample without positives or negatives: 0 / 0
            misordered = (positive * (false_alarms - tied / 2)).sum(axis=0) / (hits[-1] * false_alarms[-1])
            precision = hits / np.maximum(hits + false_alarms, 1)
            average_precision = (positive * precision).sum(axis=0) / hits[-1]
        average_precision[false_alarms[-1] == 0] = np.nan
        return 1 - misordered, average_precision


def logit_interval(value: float | None, resampled: np.ndarray, patients: int, level: float = 0.95) -> Interval | None:
    """Returns the interval of a value in (0, 1) from the spread of its resamples on the logit scale.

        logit(value) +- t(patients - 1) SE / (value (1 - value))

    SE is the standard deviation of the resamples, transformed to the logit scale by the delta method. Percentiles of
    the resamples would be simpler, but cover only 87% to 92% at 10 to 32 positive patients.

    Args:
        value: the value on the data.
        resampled: the values of the resamples, NaN where undefined.
        patients: number of patients that limit the precision: of AUROC and average precision, the smaller of the
            numbers of patients with a positive and with a negative image.
        level: confidence level.

    Returns:
        None with fewer than `FEWEST_PATIENTS` patients, if the value is 0 or 1, if the resamples do not vary, as when
        all scores are equal, or if fewer than `LEAST_USABLE` of them define the value.
    """
    usable = resampled[~np.isnan(resampled)]
    if value is None or patients < FEWEST_PATIENTS or not 0 < value < 1:
        return None
    if len(usable) < max(LEAST_USABLE * len(resampled), 2) or (spread := usable.std(ddof=1)) <= ROUNDING:
        return None
    center = np.log(value / (1 - value))
    half = stats.t.ppf((1 + level) / 2, patients - 1) * spread / (value * (1 - value))
    low, high = 1 / (1 + np.exp(-np.array([center - half, center + half])))
    return Interval(float(low), float(high), len(usable) / len(resampled))


def limits(interval: Interval | None) -> list[float] | None:
    """Returns the limits of an interval as a list for JSON, or None."""
    return None if interval is None else [interval.low, interval.high]

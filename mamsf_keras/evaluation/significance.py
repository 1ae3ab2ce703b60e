"""Comparison of two training recipes, each with several seeds, on the same patients.

Two trained models differ even if their recipes are equal, for two reasons: the seeds and the patients of the test set.
The model of N. A. Obuchowski and H. E. Rockette (Communications in Statistics 24:285, 1995) covers both, with seeds as
readers that are nested in recipes; degrees of freedom are those of S. L. Hillis (Statistics in Medicine 26:596, 2007).
"""

import dataclasses

import numpy as np
from scipy import stats

from mamsf_keras.evaluation.bootstrap import ROUNDING

FEWEST_SEEDS = 5
"""Seeds per recipe below which no test is made, because the spread over seeds cannot be estimated."""


@dataclasses.dataclass(frozen=True)
class Difference:
    """The difference between two recipes in one metric: the first minus the second.

    Attributes:
        difference: difference between the means over the seeds.
        standard_error: standard error of the difference; None if it was not estimated.
        standard_error_seeds: the part due to the seeds. The squares of the two parts sum to that of `standard_error`.
        standard_error_patients: the part due to the patients.
        degrees_of_freedom: degrees of freedom of the t distribution; None without a test.
        low: lower limit of the 95% interval; None without a test.
        high: upper limit; None without a test.
        p_value: p-value of the two-sided test that the recipes are equal; None without a test.

    A difference without any variation has standard errors of 0, but no test.
    """

    difference: float
    standard_error: float | None = None
    standard_error_seeds: float | None = None
    standard_error_patients: float | None = None
    degrees_of_freedom: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None


def recipe_difference(
    first: np.ndarray,
    second: np.ndarray,
    first_resampled: np.ndarray,
    second_resampled: np.ndarray,
    level: float = 0.95,
) -> Difference:
    """Compares two recipes in one metric.

        Var = MS (1/S1 + 1/S2) + 2 max(Cov2 - Cov3, 0)
        df  = Var^2 / ((MS (1/S1 + 1/S2))^2 / (S1 + S2 - 2))

    MS is the variance over the seeds within a recipe; Cov2 and Cov3 are the mean covariances, over the patients,
    between two seeds of one recipe and between seeds of different recipes. With S seeds each, Var is
    (2/S) (MS + max(S (Cov2 - Cov3), 0)). Adding the variance over the patients to that over the seeds instead would
    count the patients twice: they are part of both.

    Args:
        first: the metric of each seed of the first recipe, `(seeds,)`.
        second: the same for the second recipe; the number of seeds may differ.
        first_resampled: the metric of each seed in each resample of the patients, `(seeds, resamples)`.
        second_resampled: the same for the second recipe, in the same resamples.
        level: confidence level.

    Returns:
        The difference alone if a recipe has fewer than `FEWEST_SEEDS` seeds. Without variation between the seeds and
        between the resamples, as when all models separate the labels perfectly, only the standard errors are added.
    """
    difference = float(np.mean(first) - np.mean(second))
    if min(len(first), len(second)) < FEWEST_SEEDS:
        return Difference(difference)
    pooled = len(first) + len(second) - 2
    mean_square = (first.var() * len(first) + second.var() * len(second)) / pooled
    seeds = mean_square * (1 / len(first) + 1 / len(second))
    within, between = covariances(first_resampled, second_resampled)
    patients = 2 * max(within - between, 0)
    variance = seeds + patients
    freedom = variance**2 / (seeds**2 / pooled) if seeds > 0 else np.inf
    error, parts = float(np.sqrt(variance)), (float(np.sqrt(seeds)), float(np.sqrt(patients)))
    if error <= ROUNDING:
        return Difference(difference, error, *parts)
    half = stats.t.ppf((1 + level) / 2, freedom) * error
    p_value = float(2 * stats.t.sf(abs(difference) / error, freedom))
    return Difference(difference, error, *parts, float(freedom), difference - half, difference + half, p_value)


def covariances(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Returns Cov2 and Cov3 from `(seeds, resamples)` of two recipes, over the resamples in which all are defined.

    Cov2 is the average of the two recipes, regardless of their numbers of seeds.
    """
    both = np.concatenate([first, second])
    covariance, n = np.cov(both[:, ~np.isnan(both).any(axis=0)]), len(first)
    within = [_mean_off_diagonal(covariance[:n, :n]), _mean_off_diagonal(covariance[n:, n:])]
    return float(np.mean(within)), float(covariance[:n, n:].mean())


def _mean_off_diagonal(matrix):
    n = len(matrix)
    return (matrix.sum() - matrix.trace()) / (n * (n - 1))

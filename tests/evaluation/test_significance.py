import numpy as np
import pytest
from scipy import stats

from mamsf_keras.evaluation.significance import FEWEST_SEEDS, covariances, recipe_difference

pytestmark = pytest.mark.no_keras


def simulated(seeds, resamples=400, seed=0):
    """Metrics and resampled metrics of two recipes with these numbers of seeds, on the same patients."""
    rng = np.random.default_rng(seed)
    patients = rng.normal(0, 0.02, resamples)
    values, draws = [], []
    for n, mean in zip(seeds, (0.82, 0.80), strict=True):
        values.append(mean + rng.normal(0, 0.01, n))
        recipe = rng.normal(0, 0.01, resamples)
        draws.append(values[-1][:, None] + patients + recipe + rng.normal(0, 0.005, (n, resamples)))
    return values, draws


def covariance(x, y):
    """Covariance by its definition."""
    return sum((a - sum(x) / len(x)) * (b - sum(y) / len(y)) for a, b in zip(x, y, strict=True)) / (len(x) - 1)


def by_hand(values, draws):
    """Difference, standard error, degrees of freedom and p-value by loops over seeds."""
    within = []
    for recipe in draws:
        pairs = [(i, j) for i in range(len(recipe)) for j in range(i)]
        within.append(sum(covariance(recipe[i], recipe[j]) for i, j in pairs) / len(pairs))
    cov2 = sum(within) / 2
    cov3 = sum(covariance(x, y) for x in draws[0] for y in draws[1]) / (len(draws[0]) * len(draws[1]))
    squares = sum(sum((v - sum(recipe) / len(recipe)) ** 2 for v in recipe) for recipe in values)
    freedom = len(values[0]) + len(values[1]) - 2
    seeds = squares / freedom * (1 / len(values[0]) + 1 / len(values[1]))
    variance = seeds + 2 * max(cov2 - cov3, 0)
    difference = sum(values[0]) / len(values[0]) - sum(values[1]) / len(values[1])
    df = variance**2 / (seeds**2 / freedom)
    return difference, variance**0.5, df, 2 * stats.t(df).sf(abs(difference) / variance**0.5)


@pytest.mark.parametrize("seeds", [(5, 5), (5, 8), (12, 6)])
def test_difference_equals_that_of_the_formula_by_hand(seeds):
    values, draws = simulated(seeds, resamples=60)
    found = recipe_difference(*values, *draws)
    difference, error, df, p_value = by_hand(values, draws)
    assert found.difference == pytest.approx(difference, rel=1e-10)
    assert found.standard_error == pytest.approx(error, rel=1e-10)
    assert found.degrees_of_freedom == pytest.approx(df, rel=1e-10)
    assert found.p_value == pytest.approx(p_value, rel=1e-10)
    half = stats.t.ppf(0.975, df) * error
    assert (found.low, found.high) == pytest.approx((difference - half, difference + half), rel=1e-10)
    assert found.standard_error_patients > 0
    squares = found.standard_error_seeds**2 + found.standard_error_patients**2
    assert found.standard_error**2 == pytest.approx(squares, rel=1e-10)


@pytest.mark.parametrize("seeds", [5, 9])
def test_with_equal_seed_counts_it_is_the_published_formula(seeds):
    """SE^2 = (2/S) (MS + max(S (Cov2 - Cov3), 0)), and Hillis' degrees of freedom of it."""
    values, draws = simulated((seeds, seeds))
    found = recipe_difference(*values, *draws)
    mean_square = np.mean([recipe.var(ddof=1) for recipe in values])
    cov2, cov3 = covariances(*draws)
    inside = mean_square + max(seeds * (cov2 - cov3), 0)
    assert found.standard_error**2 == pytest.approx(2 / seeds * inside, rel=1e-10)
    assert found.degrees_of_freedom == pytest.approx(inside**2 / (mean_square**2 / (2 * seeds - 2)), rel=1e-10)


def test_without_patient_noise_the_test_is_a_t_test_over_seeds():
    """Cov2 below Cov3 counts as zero; Student's test on the values remains."""
    values, draws = simulated((5, 6))
    draws[1] = draws[0].mean(axis=0) + np.random.default_rng(1).normal(0, 0.05, (6, 400))
    draws[0] = draws[0].mean(axis=0) + np.random.default_rng(2).normal(0, 0.05, (5, 400))
    cov2, cov3 = covariances(*draws)
    assert cov2 < cov3
    found = recipe_difference(*values, *draws)
    student = stats.ttest_ind(*values)
    assert found.p_value == pytest.approx(student.pvalue, rel=1e-10) and found.degrees_of_freedom == pytest.approx(9)
    assert found.standard_error_patients == 0


def test_swapped_recipes_give_the_opposite_difference():
    values, draws = simulated((5, 7))
    there, back = recipe_difference(*values, *draws), recipe_difference(*values[::-1], *draws[::-1])
    assert back.difference == pytest.approx(-there.difference) and back.p_value == pytest.approx(there.p_value)
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low))


def test_resamples_without_a_value_are_left_out():
    values, draws = simulated((5, 5))
    holes = [recipe.copy() for recipe in draws]
    holes[0][2, :30] = np.nan
    assert recipe_difference(*values, *holes) == recipe_difference(*values, *(recipe[:, 30:] for recipe in draws))


def test_too_few_seeds_give_only_the_difference():
    values, draws = simulated((FEWEST_SEEDS - 1, 8))
    found = recipe_difference(*values, *draws)
    assert found.difference == pytest.approx(values[0].mean() - values[1].mean())
    assert found.standard_error is found.p_value is found.low is found.high is found.degrees_of_freedom is None


@pytest.mark.parametrize("second", [0.9, 0.8])
def test_models_without_any_variation_have_no_test(second):
    """Constant metrics show neither a difference nor how large one may be. Their spread is a rounding error."""
    values = np.full(5, 0.9), np.full(6, second)
    draws = np.full((5, 50), 0.9), np.full((6, 50), second)
    found = recipe_difference(*values, *draws)
    assert found.difference == pytest.approx(0.9 - second) and found.standard_error == pytest.approx(0, abs=1e-12)
    assert found.p_value is found.low is found.high is found.degrees_of_freedom is None


def test_without_seed_noise_only_patient_noise_remains():
    """The t distribution becomes the normal one."""
    _, draws = simulated((5, 5))
    found = recipe_difference(np.full(5, 0.82), np.full(5, 0.80), *draws)
    z = 0.02 / found.standard_error
    assert found.standard_error == pytest.approx(found.standard_error_patients)
    assert found.p_value == pytest.approx(2 * stats.norm.sf(z), rel=1e-6)

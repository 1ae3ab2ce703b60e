"""Coverage of the intervals of an AUROC on simulated patients, and errors of the comparison of recipes.

    python -m benchmarks.intervals

It takes about seven minutes on two CPU cores. Simulation i draws from `default_rng(i)`, so the numbers are
reproducible.
"""

import click
import numpy as np
from scipy import stats
from sklearn.metrics import roc_auc_score
from tqdm import trange

from mamsf_keras.evaluation.bootstrap import PatientBootstrap, logit_interval
from mamsf_keras.evaluation.delong import delong_interval, delong_variance
from mamsf_keras.evaluation.metrics import average_precision
from mamsf_keras.evaluation.significance import recipe_difference

IMAGES = 9
"""Images per patient, as in the official test split of ChestX-ray14."""

SEPARATION = 1.4
"""Distance between the mean scores of positives and negatives, whose variance is 1: AUROC 0.839."""

GAIN = 0.2
"""Increase of the separation by the better recipe."""


def draw_positives(rng, patient, positive_patients):
    """Draws the positive images of the first patients: the first image of each, and a third of the others."""
    first = np.append(True, patient[1:] != patient[:-1])
    return (patient < positive_patients) & ((rng.random(len(patient)) < 1 / 3) | first)


def simulate_patients(rng, patients, positive_patients, auroc):
    """Draws labels, scores and patients of a split whose AUROC in the population is known.

    Half of the variance of a score belongs to the patient, half to the image.
    """
    patient = np.repeat(np.arange(patients), IMAGES)
    positive = draw_positives(rng, patient, positive_patients)
    noise = np.sqrt(0.5) * (rng.normal(size=patients)[patient] + rng.normal(size=len(patient)))
    return positive, noise + positive * np.sqrt(2) * stats.norm.ppf(auroc), patient


def coverage(positive_patients, auroc=0.85, patients=600, simulations=1000, resamples=2000):
    """Returns the share of simulations whose interval contains the AUROC of the population, by kind of interval.

    Simulations without an interval, in which the scores separate the labels, do not count.
    """
    hits = {"patients": [], "percentiles": [], "images": []}
    for simulation in trange(simulations, desc=f"{positive_patients} positive patients"):
        positive, scores, patient = simulate_patients(
            np.random.default_rng(simulation), patients, positive_patients, auroc
        )
        bootstrap = PatientBootstrap(patient, resamples, seed=simulation)
        resampled, _ = bootstrap.scores(positive, scores)
        value = roc_auc_score(positive, scores)
        interval = logit_interval(value, resampled, positive_patients)
        if interval is None:
            continue
        hits["patients"].append(interval.low <= auroc <= interval.high)
        low, high = np.quantile(resampled, (0.025, 0.975))
        hits["percentiles"].append(low <= auroc <= high)
        low, high = delong_interval(value, delong_variance(positive, scores))
        hits["images"].append(low <= auroc <= high)
    return {name: float(np.mean(values)) for name, values in hits.items()}


def simulate_recipes(rng, seeds, seed_noise, recipe_noise, gain=0.0, patients=300, positive_patients=None):
    """Draws labels and the scores of two recipes of `seeds` models each, on `patients` patients with three images.

    All models share most of the noise of a score; `recipe_noise` is the share of its variance that belongs to the
    recipe, and 0 makes both recipes the same. Half of this noise belongs to the patient, half to the image. The
    separation of positives and negatives varies between seeds by `seed_noise`. `gain` is added to that of the first
    recipe. A fifth of the images is positive, unless the number of positive patients is given.
    """
    patient = np.repeat(np.arange(patients), 3)
    if positive_patients is None:
        positive = rng.random(len(patient)) < 0.2
    else:
        positive = draw_positives(rng, patient, positive_patients)

    def noise(variance):
        return np.sqrt(variance / 2) * (rng.normal(size=patients)[patient] + rng.normal(size=len(patient)))

    model_noise = 0.1
    common = noise(1 - recipe_noise - model_noise)
    recipes = []
    for recipe in range(2):
        own = common + noise(recipe_noise)
        separation = SEPARATION + gain * (recipe == 0) + seed_noise * rng.normal(size=seeds)
        scores = own + np.sqrt(model_noise) * rng.normal(size=(seeds, len(patient)))
        recipes.append(scores + separation[:, None] * positive)
    return positive, recipes, patient


def population_auroc(seed_noise, gain=0.0):
    """Returns the mean AUROC of a simulated recipe over all seeds and patients."""
    return float(stats.norm.cdf((SEPARATION + gain) / np.sqrt(2 + seed_noise**2)))


def rejections(seed_noise, recipe_noise, gain=0.0, seeds=5, simulations=1000, resamples=500):
    """Returns the share of simulated pairs of recipes that are reported as different at 5%, by test."""
    calls = {"seeds and patients": [], "patients alone": []}
    for simulation in trange(simulations, desc=f"seed noise {seed_noise}, recipe noise {recipe_noise}, gain {gain}"):
        positive, recipes, patient = simulate_recipes(
            np.random.default_rng(simulation), seeds, seed_noise, recipe_noise, gain
        )
        bootstrap = PatientBootstrap(patient, resamples, seed=simulation)
        values = [np.array([roc_auc_score(positive, scores) for scores in recipe]) for recipe in recipes]
        resampled = [np.stack([bootstrap.scores(positive, scores)[0] for scores in recipe]) for recipe in recipes]
        p_value = recipe_difference(*values, *resampled).p_value
        calls["seeds and patients"].append(p_value is not None and p_value < 0.05)
        difference, spread = values[0][0] - values[1][0], (resampled[0][0] - resampled[1][0]).std(ddof=1)
        calls["patients alone"].append(abs(difference) > 1.96 * spread)
    return {name: float(np.mean(shares)) for name, shares in calls.items()}


def rejections_with_few_patients(positive_patients, seed_noise=0.02, seeds=5, simulations=300, resamples=500):
    """Returns the share of simulated pairs of equally good recipes that `compare` calls different at 5%, by metric."""
    calls = {"auroc": [], "average_precision": []}
    for simulation in trange(simulations, desc=f"{positive_patients} positive patients"):
        positive, recipes, patient = simulate_recipes(
            np.random.default_rng(simulation), seeds, seed_noise, recipe_noise=0.3, positive_patients=positive_patients
        )
        bootstrap = PatientBootstrap(patient, resamples, seed=simulation)
        draws = [np.array([bootstrap.scores(positive, scores) for scores in recipe]) for recipe in recipes]
        for i, (metric, score) in enumerate(zip(calls, (roc_auc_score, average_precision), strict=True)):
            values = [np.array([score(positive, scores) for scores in recipe]) for recipe in recipes]
            found = recipe_difference(*values, *(draw[:, i] for draw in draws))
            calls[metric].append(found.p_value is not None and found.p_value < 0.05)
    return {metric: float(np.mean(shares)) for metric, shares in calls.items()}


@click.command()
@click.option("--simulations", default=1000, show_default=True, help="Simulations per row.")
@click.option("--few-simulations", default=300, show_default=True, help="Simulations per row of the last table.")
def main(simulations, few_simulations):
    """Print the coverage of the 95% intervals, and how often two recipes are reported as different."""
    print("coverage of 95% intervals, AUROC 0.85, 600 patients with 9 images each, 2,000 resamples")
    print("positive patients | patients | percentiles | images (DeLong)")
    for positive_patients in (10, 32, 100):
        shares = coverage(positive_patients, simulations=simulations)
        print(positive_patients, *(f"{share:.1%}" for share in shares.values()), sep=" | ", flush=True)
    print(
        "\npairs of recipes reported as different at 5%, 5 seeds each, 300 patients with 3 images each, 500 resamples"
    )
    print("seed noise | recipes | AUROC difference | compare | one run each, patients alone")
    for seed_noise in (0.02, 0.2):
        for recipes, recipe_noise, gain in (("same", 0.0, 0.0), ("different", 0.3, 0.0), ("different", 0.3, GAIN)):
            shares = rejections(seed_noise, recipe_noise, gain, simulations=simulations)
            difference = population_auroc(seed_noise, gain) - population_auroc(seed_noise)
            cells = (f"{share:.1%}" for share in shares.values())
            print(seed_noise, recipes, f"{difference:.3f}", *cells, sep=" | ", flush=True)
    print("\nequally good pairs of recipes reported as different at 5%, seed noise 0.02")
    print("positive patients | AUROC | average precision")
    for positive_patients in (10, 32):
        shares = rejections_with_few_patients(positive_patients, simulations=few_simulations)
        print(positive_patients, *(f"{share:.1%}" for share in shares.values()), sep=" | ", flush=True)


if __name__ == "__main__":
    main()

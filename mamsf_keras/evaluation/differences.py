"""The differences between two recipes in every metric, for each finding and for the means over findings."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from statsmodels.stats.multitest import multipletests
from tqdm import tqdm

from mamsf_keras.config import FEW_PATIENTS, FEWEST_PATIENTS
from mamsf_keras.evaluation.bootstrap import LEAST_USABLE, RESAMPLES, PatientBootstrap
from mamsf_keras.evaluation.metrics import GROUPS, per_finding
from mamsf_keras.evaluation.predictions import Predictions
from mamsf_keras.evaluation.significance import Difference, recipe_difference

METRICS = ("auroc", "average_precision")

SIGNIFICANCE = 0.05
"""P-value below which two recipes are reported as different. For findings, it is the adjusted p-value."""


def compare_predictions(
    models: Sequence[Predictions], first: int, groups: Mapping[str, str], resamples: int = RESAMPLES, seed: int = 0
) -> dict:
    """Compares the models of two recipes on the same resamples of the patients.

    Args:
        models: aligned predictions, those of recipe A first.
        first: number of models of recipe A.
        groups: "head", "medium" or "tail" by finding; may be empty.
        resamples: number of resamples.
        seed: seed of the resamples.

    Returns:
        `images`, `patients`, `resamples`, `undefined`, `means` and `findings`, as in `comparison.json`.
    """
    labels, names = models[0].labels, models[0].findings
    bootstrap = PatientBootstrap(models[0].patients, resamples, seed)
    scores = Scores.of(models, first, bootstrap)
    defined = [i for i in range(len(names)) if not np.isnan(scores.values[:, :, i]).any()]
    members = {"macro": defined} | {group: [i for i in defined if groups.get(names[i]) == group] for group in GROUPS}
    findings = {
        name: {"group": groups.get(name), "positives": int(np.nansum(labels[:, i])), **scores.difference([i])}
        for i, name in enumerate(names)
    }
    _adjust(findings)
    return {
        "images": len(labels),
        "patients": len(bootstrap.counts),
        "resamples": resamples,
        "undefined": [name for i, name in enumerate(names) if i not in defined],
        "means": {
            name: {"findings": len(columns), **scores.mean_difference(columns, names)}
            for name, columns in members.items()
            if columns
        },
        "findings": findings,
    }


@dataclasses.dataclass(frozen=True)
class Scores:
    """The metrics of the models of two recipes on the data and on resamples of the patients. NaN is undefined.

    Attributes:
        values: `(metrics, models, findings)`, the models of recipe A first.
        resampled: `(metrics, models, findings, resamples)`.
        first: number of models of recipe A.
        patients: numbers of patients with a positive and with a negative image, int `(2, findings)`.
    """

    values: np.ndarray
    resampled: np.ndarray
    first: int
    patients: np.ndarray

    @classmethod
    def of(cls, models: Sequence[Predictions], first: int, bootstrap: PatientBootstrap) -> "Scores":
        """Computes the metrics of aligned predictions. The resamples are the same for all models."""
        names = models[0].findings
        values = np.empty((len(METRICS), len(models), len(names)))
        resampled = np.empty((*values.shape, bootstrap.counts.shape[1]))
        with tqdm(total=len(models) * len(names), desc="resampling", unit=" findings", delay=2) as bar:
            for m, model in enumerate(models):
                points = per_finding(model.labels, model.probabilities, names)
                for i, name in enumerate(names):
                    # None becomes NaN.
                    values[:, m, i] = np.array([points[name][metric] for metric in METRICS], float)
                    resampled[:, m, i] = bootstrap.scores(model.labels[:, i], model.probabilities[:, i])
                    bar.update()
        patients = np.transpose([bootstrap.patients_by_class(labels) for labels in models[0].labels.T])
        return cls(values, resampled, first, patients)

    def difference(self, columns: list[int]) -> dict:
        """Returns the differences in the mean over some findings, by metric, and the smallest numbers of patients.

        The mean has a test only if all of its findings have enough patients. A few patients with a rare finding affect
        the mean about as much as many patients with a common one.
        """
        positive, negative = self.patients[:, columns].min(axis=1).tolist()
        values, resampled = self.values[:, :, columns].mean(axis=2), self.resampled[:, :, columns].mean(axis=2)
        return {"positive_patients": positive, "negative_patients": negative} | {
            metric: metric_difference(values[k], resampled[k], self.first, min(positive, negative))
            for k, metric in enumerate(METRICS)
        }

    def mean_difference(self, columns: list[int], names: Sequence[str]) -> dict:
        """Returns the differences in the mean over some findings, and those with too few patients for a test."""
        few = [names[i] for i in columns if self.patients[:, i].min() < FEWEST_PATIENTS]
        return {"too_few_patients": few, **self.difference(columns)}


def metric_difference(values: np.ndarray, resampled: np.ndarray, first: int, patients: int) -> dict:
    """Returns the difference between two recipes in one metric as in `comparison.json`.

    Args:
        values: the metric of each model, `(models,)`; NaN is undefined.
        resampled: the metric of each model in each resample, `(models, resamples)`.
        first: number of models of recipe A, which come first.
        patients: the smaller of the numbers of patients with a positive and with a negative image.
    """
    usable = ~np.isnan(resampled).any(axis=0)
    reason = _why_untested(values, usable.mean(), patients)
    a, b, draws = values[:first], values[first:], resampled[:, usable]
    if reason:
        found = Difference(float(np.mean(a) - np.mean(b)))
    else:
        found = recipe_difference(a, b, draws[:first], draws[first:])
    numbers = {name: _finite(value) for name, value in dataclasses.asdict(found).items()}
    low, high = numbers.pop("low"), numbers.pop("high")
    return {
        "A": _recipe(a, None if reason else draws[:first]),
        "B": _recipe(b, None if reason else draws[first:]),
        "usable_resamples": float(usable.mean()),
        **numbers,
        "interval": None if low is None else [low, high],
        "result": reason or verdict(found),
    }


def _why_untested(values, usable, patients) -> str | None:
    if np.isnan(values).any():
        return "undefined"
    if patients < FEWEST_PATIENTS:
        return FEW_PATIENTS
    return "undefined in too many resamples" if usable < LEAST_USABLE else None


def verdict(found: Difference) -> str:
    """Returns the result of a comparison in words. Without variation, nothing can be distinguished."""
    if found.standard_error is None:
        return "not enough seeds"
    return "not distinguishable" if found.p_value is None else decision(found.difference, found.p_value)


def decision(difference: float, p_value: float) -> str:
    """Returns the result of a test in words."""
    if p_value >= SIGNIFICANCE:
        return "not distinguishable"
    return "A is higher" if difference > 0 else "B is higher"


def _recipe(values, draws) -> dict:
    """Returns the mean of the models of a recipe, and its standard deviations over seeds and over patients."""
    return {
        "mean": _finite(values.mean()),
        "seed_sd": _finite(values.std(ddof=1)) if len(values) > 1 else None,
        "patient_sd": None if draws is None else float(np.sqrt(draws.var(axis=1, ddof=1).mean())),
        "values": [_finite(value) for value in values],
    }


def _finite(value) -> float | None:
    """Returns a number, or None where it is undefined; strict JSON has neither NaN nor infinity."""
    return float(value) if value is not None and np.isfinite(value) else None


def _adjust(findings) -> None:
    """Adds Holm's p-values over the findings, one family for each metric, and bases the results on them."""
    for metric in METRICS:
        rows = [row[metric] for row in findings.values()]
        tested = [row for row in rows if row["p_value"] is not None]
        adjusted = multipletests([row["p_value"] for row in tested], method="holm")[1] if tested else []
        for row in rows:
            row["p_value_holm"] = None
        for row, p_value in zip(tested, adjusted, strict=True):
            row |= {"p_value_holm": float(p_value), "result": decision(row["difference"], p_value)}

"""The summary of an evaluation: every metric of a split with its interval, as in `metrics-SPLIT.json`."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from mamsf_keras.config import FEWEST_PATIENTS, OPERATING_POINTS
from mamsf_keras.evaluation.bootstrap import RESAMPLES, PatientBootstrap, limits, logit_interval
from mamsf_keras.evaluation.calibration import Calibration, FindingCalibration
from mamsf_keras.evaluation.intervals import image_interval, rate_intervals
from mamsf_keras.evaluation.metrics import GROUPS, mean_over_findings, per_finding
from mamsf_keras.evaluation.operating_points import decisions, ppv_at
from mamsf_keras.evaluation.predictions import Predictions
from mamsf_keras.evaluation.reliability import reliability
from mamsf_keras.evaluation.subgroups import subgroup_names
from mamsf_keras.findings import HEAD_SHARE, MEDIUM_SHARE


@dataclasses.dataclass(frozen=True)
class Scorer:
    """Computes the metrics of predictions, of all images or of a subgroup.

    Args:
        calibration: calibrated probabilities and thresholds; None leaves out what depends on them.
        prevalence: prevalences at which PPV is reported too, by finding; "" applies to all others.
        groups: "head", "medium" or "tail" by finding.
    """

    calibration: Calibration | None
    prevalence: Mapping[str, float]
    groups: Mapping[str, str]

    def score(self, predictions: Predictions, bootstrap: PatientBootstrap) -> dict:
        """Returns `images`, `patients`, `mean_auroc`, `mean_average_precision`, `undefined`, `means` and `findings`."""
        findings, resampled = {}, {}
        points = per_finding(predictions.labels, predictions.probabilities, predictions.findings)
        for i, name in enumerate(predictions.findings):
            observed = ~np.isnan(predictions.labels[:, i])
            labels, probabilities = predictions.labels[observed, i], predictions.probabilities[observed, i]
            findings[name], resampled[name] = self._finding(
                name, labels, probabilities, points[name], bootstrap.take(observed)
            )
        means = self._means(predictions, bootstrap, findings, resampled)
        return {
            "images": len(predictions.table),
            "patients": int(predictions.table["patient"].nunique()),
            "mean_auroc": means["macro"]["auroc"],
            "mean_average_precision": means["macro"]["average_precision"],
            "undefined": [name for name, row in findings.items() if row["auroc"] is None],
            "means": means,
            "findings": findings,
        }

    def _finding(self, name, labels, probabilities, point, bootstrap) -> tuple[dict, dict]:
        """Returns the metrics of one finding, and the resampled AUROC and average precision."""
        positive_patients, negative_patients = bootstrap.patients_by_class(labels)
        patients = min(positive_patients, negative_patients)
        auroc, average_precision = bootstrap.scores(labels, probabilities)
        interval = logit_interval(point["auroc"], auroc, patients)
        calibrated = self.calibration.apply(name, probabilities) if self.calibration else None
        row = {
            **point,
            "positive_patients": positive_patients,
            "negative_patients": negative_patients,
            "prevalence": point["positives"] / point["images"] if point["images"] else None,
            "validation_prevalence": fitted.prevalence if (fitted := self._fitted(name)) else None,
            "group": self.groups.get(name),
            "auroc_interval": limits(interval),
            "auroc_interval_images": image_interval(labels, probabilities, point["auroc"]),
            "average_precision_interval": limits(
                logit_interval(point["average_precision"], average_precision, patients)
            ),
            "usable_resamples": float(np.mean(~np.isnan(auroc))),
            **reliability(labels, probabilities),
            "calibrated": None if calibrated is None else reliability(labels, calibrated),
            "operating_points": self._operating_points(name, labels, probabilities, bootstrap),
        }
        return row, {"auroc": auroc, "average_precision": average_precision}

    def _fitted(self, name) -> FindingCalibration | None:
        return self.calibration.findings.get(name) if self.calibration else None

    def _operating_points(self, name, labels, probabilities, bootstrap) -> dict | None:
        fitted = self._fitted(name)
        if fitted is None:
            return None
        points: dict[str, dict | None] = {}
        for point in OPERATING_POINTS:
            threshold = fitted.thresholds[point]
            if threshold is None or len(labels) == 0:
                points[point] = None
                continue
            positive = probabilities >= threshold
            row = {"threshold": threshold, "unstable": fitted.unstable, **decisions(labels, positive)}
            row |= rate_intervals(row, labels == 1, positive, bootstrap)
            if (prevalence := self.prevalence.get(name, self.prevalence.get(""))) is not None:
                row["ppv_at_prevalence"] = ppv_at(prevalence, row["sensitivity"], row["specificity"])
            points[point] = row
        return points

    def _means(self, predictions, bootstrap, findings, resampled) -> dict:
        """Returns the means over all findings and over each group, and the micro average over all labels."""
        members = {"macro": list(findings)}
        for group in GROUPS:
            members[group] = [name for name in findings if self.groups.get(name) == group]
        means = {
            label: _mean([name for name in names if findings[name]["auroc"] is not None], findings, resampled)
            for label, names in members.items()
            if names
        }
        images, columns = np.nonzero(~np.isnan(predictions.labels))
        labels, scores = predictions.labels[images, columns], predictions.probabilities[images, columns]
        point = per_finding(labels[:, None], scores[:, None], ["micro"])["micro"]
        cells = bootstrap.take(images)
        patients = min(cells.patients_by_class(labels))
        values = dict(zip(("auroc", "average_precision"), cells.scores(labels, scores), strict=True))
        means["micro"] = {"findings": len(findings)} | _with_intervals(point, values, patients)
        return means


def _mean(defined, findings, resampled) -> dict:
    """Returns the means over some findings, with an interval only if all of them have enough patients."""
    rows = {name: findings[name] for name in defined}
    point = {metric: mean_over_findings(rows, metric) for metric in ("auroc", "average_precision")}
    values = {
        metric: np.mean([resampled[name][metric] for name in defined], axis=0) if defined else np.array([np.nan])
        for metric in point
    }
    patients = {name: _fewest_patients(findings[name]) for name in defined}
    return {
        "findings": len(defined),
        "too_few_patients": [name for name in defined if patients[name] < FEWEST_PATIENTS],
        **_with_intervals(point, values, min(patients.values(), default=0)),
    }


def _fewest_patients(row) -> int:
    return min(row["positive_patients"], row["negative_patients"])


def _with_intervals(point, resampled, patients) -> dict:
    row = {}
    for metric in ("auroc", "average_precision"):
        interval = logit_interval(point[metric], resampled[metric], patients)
        row[metric] = point[metric]
        row[f"{metric}_interval"] = limits(interval)
    return {**row, "usable_resamples": float(np.mean(~np.isnan(resampled["auroc"])))}


def summarize_predictions(
    predictions: Predictions,
    *,
    calibration: Calibration | None = None,
    prevalence: Mapping[str, float] | None = None,
    groups: Mapping[str, str] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict:
    """Computes all metrics of predictions, overall and by subgroup.

    Args:
        predictions: the predictions to evaluate.
        calibration: fitted on the validation split.
        prevalence: further prevalences at which to report PPV, by finding.
        groups: "head", "medium" or "tail" by finding.
        resamples: number of resamples of the patients.
        seed: seed of the resamples.

    Returns:
        The content of `metrics-SPLIT.json`, starting at `images`; docs/evaluation.md describes it.
    """
    scorer = Scorer(calibration, prevalence or {}, groups or {})
    bootstrap = PatientBootstrap(predictions.patients, resamples, seed)
    subgroups: dict[str, dict] = {}
    for attribute, names in subgroup_names(predictions.table).items():
        members = {value: (names == value).to_numpy() for value in sorted(names.unique(), key=str)}
        subgroups[attribute] = {
            value: scorer.score(predictions.take(rows), bootstrap.take(rows)) for value, rows in members.items()
        }
    return {
        **scorer.score(predictions, bootstrap),
        "resamples": resamples,
        "group_limits": [HEAD_SHARE, MEDIUM_SHARE],
        "subgroups": subgroups,
    }

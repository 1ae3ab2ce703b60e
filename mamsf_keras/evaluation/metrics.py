"""Exact multi-label metrics on all predictions of a split, computed by scikit-learn. Independent of loops and files."""

import math
from collections.abc import Iterable

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_auc_score

from mamsf_keras.reports.evaluation_notes import groups_note
from mamsf_keras.reports.interval_notes import mean_gaps
from mamsf_keras.reports.score_text import score_text

GROUPS = ("head", "medium", "tail")
"""Groups of findings by their frequency, from common to rare."""


def per_finding(labels: np.ndarray, probabilities: np.ndarray, findings: Iterable[str]) -> dict[str, dict]:
    """Computes AUROC and average precision of each finding over its labeled images.

    `keras.metrics.AUC` with its 200 thresholds is off by up to 0.25 on a rare finding; these are exact.

    Args:
        labels: `(images, findings)`, 1, 0, or NaN where the label is missing.
        probabilities: `(images, findings)`.
        findings: names of the columns.

    Returns:
        For each finding `auroc`, `average_precision` (None unless the images contain both classes), `positives`,
        `images`, and `masked`, the images without a label.
    """
    return {name: _one(labels[:, i], probabilities[:, i]) for i, name in enumerate(findings)}


def _one(labels, probabilities):
    observed = ~np.isnan(labels)
    labels, probabilities = labels[observed], probabilities[observed]
    positives = int(labels.sum())
    defined = 0 < positives < len(labels)
    return {
        "auroc": float(roc_auc_score(labels, probabilities)) if defined else None,
        "average_precision": average_precision(labels, probabilities) if defined else None,
        "positives": positives,
        "images": len(labels),
        "masked": int((~observed).sum()),
    }


def average_precision(labels: np.ndarray, scores: np.ndarray) -> float:
    """Returns the precision at the score of each positive, averaged over the positives.

    This is scikit-learn's average precision, summed exactly. `average_precision_score` adds up rounded differences of
    the recall, which gives a perfect ranking 0.9999999999999998 with 7 positives and 1.0000000000000002 with 9.

    Args:
        labels: `(images,)`, 1 or 0, with both classes.
        scores: `(images,)`.
    """
    precision, recall, _ = precision_recall_curve(labels, scores)
    positives = labels.sum()
    found = np.rint(recall * positives)  # the number of positives at or above each threshold
    return math.fsum(-np.diff(found) * precision[:-1]) / float(positives)


def mean_over_findings(metrics: dict[str, dict], name: str) -> float | None:
    """Averages a metric over the findings for which it is defined. Returns None if there are none."""
    values = [row[name] for row in metrics.values() if row[name] is not None]
    return math.fsum(values) / len(values) if values else None


def metrics_table(summary: dict) -> str:
    """Formats a summary of `summarize_predictions` as text: one row per finding, the means, the undefined findings."""
    lines = [f"{'finding':<20}{'AUROC':>24}{'AP':>24}{'positives':>11}{'images':>8}"]
    for name, row in summary["findings"].items():
        masked = f"   {row['masked']} masked" if row["masked"] else ""
        lines.append(f"{name:<20}{_scores(row)}{row['positives']:>11}{row['images']:>8}{masked}")
    for label, row in summary["means"].items():
        name = "micro average" if label == "micro" else f"mean of {row['findings']}"
        lines.append(f"{name + (f', {label}' if label in GROUPS else ''):<20}{_scores(row)}")
    lines += [note] if (note := groups_note(summary)) else []
    lines.append("in parentheses: 95% confidence intervals from a bootstrap of the patients")
    lines += mean_gaps(summary)
    for why, has_labels in (("only one class", True), ("no labels", False)):
        names = [name for name in summary["undefined"] if bool(summary["findings"][name]["images"]) is has_labels]
        if names:
            lines.append(f"undefined and left out of the mean ({why}): {', '.join(names)}")
    return "\n".join(lines)


def _scores(row) -> str:
    return "".join(f"{score_text(row, metric, digits=4):>24}" for metric in ("auroc", "average_precision"))

"""The files of an evaluation: metrics as JSON, a Markdown table for a paper, and the report."""

import dataclasses
import importlib.metadata
from collections.abc import Iterable
from pathlib import Path

from mamsf_keras.data.dataset import Dataset
from mamsf_keras.evaluation.calibration import Calibration
from mamsf_keras.evaluation.curves import all_curves
from mamsf_keras.evaluation.errors import worst_errors
from mamsf_keras.evaluation.frequency import frequency_groups
from mamsf_keras.evaluation.predictions import Predictions
from mamsf_keras.findings import IMAGES, POSITIVES, find_name
from mamsf_keras.reports.evaluation import Pixels, write_evaluation_report
from mamsf_keras.reports.interval_notes import mean_gaps, usable_notes
from mamsf_keras.reports.score_text import score_text
from mamsf_keras.storage import atomic_write, write_json

SCHEMA_VERSION = 2
"""Version of `metrics-SPLIT.json`; docs/evaluation.md describes its fields."""

PACKAGES = ("mamsf-keras", "keras", "numpy", "scikit-learn", "scipy")


@dataclasses.dataclass(frozen=True)
class ResultFiles:
    """The paths of the results.

    Attributes:
        metrics: strict JSON.
        table: Markdown.
        report: HTML.
    """

    metrics: Path
    table: Path
    report: Path


def write_results(
    files: ResultFiles,
    summary: dict,
    predictions: Predictions,
    calibration: Calibration | None = None,
    pixels: Pixels | None = None,
) -> None:
    """Writes all results. The metrics are written last, so if they exist, the other files exist too.

    Args:
        files: the paths to write.
        summary: the content of the metrics file.
        predictions: the predictions that the summary was computed from.
        calibration: the calibration that the summary was computed with.
        pixels: function from a row of the predictions to gray pixels, uint8 `(height, width)`, for the report.
    """
    curves, errors = all_curves(predictions, calibration), worst_errors(predictions, summary)
    write_evaluation_report(files.report, summary, curves, errors, pixels)
    with atomic_write(files.table) as temporary:
        temporary.write_text(markdown_table(summary), encoding="utf-8")
    write_json(files.metrics, summary)


def markdown_table(summary: dict) -> str:
    """Formats AUROC and average precision with their 95% intervals as a Markdown table, and notes on the intervals."""
    lines = ["| finding | positives (patients) | AUROC (95% CI) | average precision (95% CI) |", "|---|--:|--:|--:|"]
    for name, row in summary["findings"].items():
        counts = f"{row['positives']:,} ({row['positive_patients']:,})"
        lines.append(f"| {name} | {counts} | {score_text(row, 'auroc')} | {score_text(row, 'average_precision')} |")
    for label, row in summary["means"].items():
        name = f"{label} average over {row['findings']} findings"
        lines.append(f"| {name} | | {score_text(row, 'auroc')} | {score_text(row, 'average_precision')} |")
    for note in (*mean_gaps(summary), *usable_notes(summary)):
        lines += ["", note]
    return "\n".join(lines) + "\n"


def training_groups(dataset: Dataset, findings: Iterable[str]) -> dict[str, str]:
    """Returns the group of each finding ("head", "medium" or "tail") by its frequency in the train split."""
    dataset = dataset.with_findings(findings)
    labels = dataset.table.loc[dataset.table["split"] == "train", list(dataset.findings)]
    counts = {name: (int(labels[name].eq(1).sum()), int(labels[name].notna().sum())) for name in dataset.findings}
    return frequency_groups(counts)


def nih_groups(findings: Iterable[str]) -> dict[str, str]:
    """Returns the group of each NIH finding ("head", "medium" or "tail") by its frequency in the whole NIH table."""
    known = {name: find_name(name, POSITIVES) for name in findings}
    return frequency_groups({name: (POSITIVES[own], IMAGES) for name, own in known.items() if own is not None})


def versions() -> dict[str, str]:
    """Returns the versions of the packages that the results depend on."""
    return {name: importlib.metadata.version(name) for name in PACKAGES}

"""Evaluates a file of predictions from any model. Does not need Keras."""

import logging
from collections.abc import Mapping
from pathlib import Path

from mamsf_keras.config import LabelsCsv
from mamsf_keras.evaluation.calibration import Calibration
from mamsf_keras.evaluation.join import read_labeled_predictions, tie_notes
from mamsf_keras.evaluation.results import SCHEMA_VERSION, ResultFiles, nih_groups, versions, write_results
from mamsf_keras.evaluation.summary import summarize_predictions
from mamsf_keras.storage import checksum

logger = logging.getLogger(__name__)


def evaluate_file(
    predictions: str | Path,
    labels: LabelsCsv | str | Path | None,
    out: str | Path,
    *,
    calibration: str | Path | None = None,
    overwrite: bool = False,
    prevalence: Mapping[str, float] | None = None,
) -> dict:
    """Evaluates a file of predictions from any model and writes the results to a folder.

    Args:
        predictions: CSV file with `image`, optionally `patient`, and one column of probabilities per finding.
        labels: table of labels; None uses the NAME_label columns of the predictions.
        out: folder for `metrics.json`, `metrics.md` and `report.html`; it is created if needed.
        calibration: a `calibration.json`; None leaves out calibrated probabilities and operating points.
        overwrite: whether to replace results.
        prevalence: further prevalences, in (0, 1), at which to report the positive predictive value, by finding; the
            key "" is for all others.

    Returns:
        What `metrics.json` holds; docs/evaluation.md describes it.

    Raises:
        FileNotFoundError: if a file is missing.
        FileExistsError: if the folder has results.
        ValueError: if predictions and labels do not fit together; names images, columns and cells.
    """
    folder = Path(out)
    files = ResultFiles(folder / "metrics.json", folder / "metrics.md", folder / "report.html")
    if files.metrics.exists() and not overwrite:
        raise FileExistsError(f"{files.metrics} already exists. Choose another `out`, or use `overwrite`.")
    if not (labels is None or isinstance(labels, LabelsCsv)):
        labels = LabelsCsv(str(labels))
    read = read_labeled_predictions(predictions, labels)
    notes = tie_notes(read)
    for note in notes:
        logger.info(note)
    fitted = None if calibration is None else Calibration.load(calibration)
    summary = {
        "schema_version": SCHEMA_VERSION,
        "predictions": str(Path(predictions).resolve()),
        "predictions_sha256": checksum(predictions),
        "labels": None
        if labels is None
        else (labels if isinstance(labels, LabelsCsv) else LabelsCsv(str(labels))).path,
        "versions": versions(),
        "notes": notes,
        "calibrated": fitted is not None,
        **summarize_predictions(read, calibration=fitted, prevalence=prevalence, groups=nih_groups(read.findings)),
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_results(files, summary, read, fitted)
    return summary

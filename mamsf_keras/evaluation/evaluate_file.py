"""Evaluates a file of predictions from any model. Does not need Keras."""

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path

from mamsf_keras.config import LabelsCsv
from mamsf_keras.evaluation.calibration import Calibration
from mamsf_keras.evaluation.join import read_labeled_predictions, tie_notes, with_standard_names
from mamsf_keras.evaluation.prevalence import check_calibrated, prevalence_by_finding
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
        labels: label table; None uses the NAME_label columns of the predictions.
        out: folder for `metrics.json`, `metrics.md` and `report.html`; it is created if needed.
        calibration: a `calibration.json`; None leaves out calibrated probabilities and operating points.
        overwrite: whether to replace existing results.
        prevalence: further prevalences, in (0, 1), at which to report the positive predictive value, by finding; the
            key "" applies to all others.

    Returns:
        What `metrics.json` holds; docs/evaluation.md describes it.

    Raises:
        FileNotFoundError: if a file is missing.
        FileExistsError: if the folder already contains results.
        ValueError: if predictions and labels do not match (names images, columns and cells), if `prevalence` names an
            unknown finding, or if it is given without `calibration`.
    """
    folder = Path(out)
    files = ResultFiles(folder / "metrics.json", folder / "metrics.md", folder / "report.html")
    _check_free(files, overwrite)
    check_calibrated(prevalence, calibration is not None)
    labels = LabelsCsv(str(labels)) if isinstance(labels, (str, Path)) else labels
    fitted = None if calibration is None else Calibration.load(calibration)
    read = with_standard_names(read_labeled_predictions(predictions, labels), fitted.findings if fitted else ())
    prevalence = prevalence_by_finding(prevalence, read.findings)
    notes = [*read.notes, *tie_notes(read)]
    for note in notes:
        logger.info(note)
    summary = {
        "schema_version": SCHEMA_VERSION,
        **_describe_predictions(predictions),
        **_describe_labels(labels),
        "calibration": _describe_calibration(calibration, fitted),
        "given_prevalence": prevalence,
        "patients_known": read.has_patients,
        "versions": versions(),
        "notes": notes,
        "calibrated": fitted is not None,
        **summarize_predictions(read, calibration=fitted, prevalence=prevalence, groups=nih_groups(read.findings)),
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_results(files, summary, read, fitted)
    return summary


def _check_free(files, overwrite):
    """Raises `FileExistsError` if one of the files exists and must not be replaced."""
    existing = [path for path in dataclasses.astuple(files) if path.exists()]
    if existing and not overwrite:
        raise FileExistsError(f"{existing[0]} already exists. Choose another `out`, or use `overwrite`.")


def _describe_predictions(path) -> dict:
    return {"predictions": str(Path(path).resolve()), "predictions_sha256": checksum(path)}


def _describe_labels(labels) -> dict:
    """Returns the label table and how its cells were read; None for the labels of the predictions file."""
    if labels is None:
        return {"labels": None, "labels_sha256": None, "blank": None, "uncertain": None}
    return {
        "labels": labels.path,
        "labels_sha256": checksum(labels.path),
        "blank": labels.blank,
        "uncertain": labels.uncertain,
    }


def _describe_calibration(path, calibration) -> dict | None:
    """Returns the calibration file and the checksum of the model that it was fitted for, or None."""
    if path is None:
        return None
    return {
        "path": str(Path(path).resolve()),
        "sha256": checksum(path),
        "model_sha256": calibration.model_sha256,
    }

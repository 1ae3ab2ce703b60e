"""Joins a file of predictions with a label table: rows by image, columns by the name of the finding."""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mamsf_keras.config import DataConfig, LabelsCsv
from mamsf_keras.data.dataset import Dataset
from mamsf_keras.data.open import open_dataset
from mamsf_keras.data.readers.labels_csv import NoPatients
from mamsf_keras.data.tables import count_and_first, patient_key
from mamsf_keras.evaluation.predictions import ATTRIBUTES, Predictions, is_known
from mamsf_keras.findings import FINDINGS, find_name, with_nearest

TIES = 0.05
"""Share of the images that are tied with an image of the other class, above which a note is added."""

NO_PATIENTS = (
    "the patients are not known, so each image counts as a separate patient: if patients have several images, the "
    "intervals are too narrow"
)


def read_labeled_predictions(predictions: str | Path, labels: LabelsCsv | None = None) -> Predictions:
    """Reads a file of predictions with the labels of a table.

    Args:
        predictions: CSV file with `image`, optionally `patient`, and one column per finding.
        labels: the label table; None uses the NAME_label columns of the predictions.

    Returns:
        The predictions of all images in the file, in its order. With a table, findings have its spelling. Patient, age,
        sex and view are those of the table, or else of the predictions.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if an image or finding has no labels, or the patients of the two files differ.
    """
    read = Predictions.read(predictions, labeled_only=labels is None)
    if labels is not None:
        dataset, has_patients = _open_labels(labels)
        read = _join(read, dataset, has_patients, predictions, labels.path)
    elif np.isnan(read.labels).all():
        raise ValueError(f"{predictions} has only blank NAME_label columns. Set `labels` to a label table.")
    return read if read.has_patients else dataclasses.replace(read, notes=(*read.notes, NO_PATIENTS))


def with_standard_names(predictions: Predictions, calibrated: Iterable[str] = ()) -> Predictions:
    """Returns predictions with findings spelled as in a calibration, or else as in the NIH data; others are unchanged.

    Args:
        predictions: the predictions.
        calibrated: the findings of the calibration.
    """
    calibrated = list(calibrated)
    names = (find_name(name, calibrated) or find_name(name, FINDINGS) or name for name in predictions.findings)
    return dataclasses.replace(predictions, findings=tuple(names))


def _open_labels(options) -> tuple[Dataset, bool]:
    """Returns the label table, and False if it does not name the patients. Each image then counts as one patient."""
    data = DataConfig(str(Path(options.path).parent), labels_csv=options, protocol=None)
    try:
        return open_dataset(data), True
    except NoPatients as error:
        by_image = dataclasses.replace(options, patient_column=error.image_column)
        return open_dataset(dataclasses.replace(data, labels_csv=by_image)), False


def _join(read, dataset, has_patients, predictions, labels) -> Predictions:
    unknown = read.table["image"][~read.table["image"].isin(dataset.table["image"])]
    if len(unknown):
        raise ValueError(
            f"{predictions} has images without labels in {labels}: {count_and_first(unknown)}. "
            f"The labels have images such as {dataset.table['image'].iloc[0]}."
        )
    columns = match_findings(read.findings, dataset.findings)
    table = dataset.table.set_index("image").loc[read.table["image"]].reset_index()
    if read.has_patients and has_patients:
        _check_patients(read.table, table, predictions, labels)
    return Predictions(
        _properties(read.table, table, has_patients),
        tuple(columns),
        read.probabilities,
        table[columns].to_numpy(float),
        read.has_patients or has_patients,
        tuple(dict.fromkeys((*read.notes, *dataset.notes, *_left_out(read, dataset, columns)))),
    )


def _left_out(read, dataset, columns) -> list[str]:
    """Returns notes on the images and columns of a label table that have no predictions."""
    images = dataset.table["image"][~dataset.table["image"].isin(read.table["image"])]
    names = [name for name in dataset.findings if name not in columns]
    notes = [f"labeled images without a prediction, left out: {count_and_first(images)}"] if len(images) else []
    return notes + ([f"label columns without predictions, left out: {', '.join(names)}"] if names else [])


def _properties(predicted, labeled, has_patients) -> pd.DataFrame:
    """Returns `image`, `patient` and the known attributes: of the labels, or else of the predictions."""
    table = predicted[["image"]].assign(patient=(labeled if has_patients else predicted)["patient"])
    for name in ATTRIBUTES:
        sources = [one[name] for one in (labeled, predicted) if name in one and is_known(one[name]).any()]
        if sources:
            table[name] = sources[0]
    return table


def match_findings(wanted: Sequence[str], known: Sequence[str]) -> list[str]:
    """Returns the known name of each wanted finding, in any spelling; see `name_key`.

    Raises:
        ValueError: names the unknown finding and the nearest known one.
    """
    matched = {name: find_name(name, known) for name in wanted}
    unknown = [with_nearest(name, known) for name, own in matched.items() if own is None]
    if unknown:
        raise ValueError(
            f"The labels have no finding {', '.join(unknown)}. They have: {', '.join(known)}. Remove columns without "
            "labels from the predictions."
        )
    return [own for own in matched.values() if own is not None]


def _check_patients(predicted, labeled, predictions, labels):
    other = predicted["patient"].map(patient_key).to_numpy() != labeled["patient"].map(patient_key).to_numpy()
    if other.any():
        raise ValueError(
            f"{predictions} and {labels} have different patients for these images: "
            f"{count_and_first(predicted['image'][other])}."
        )


def tie_notes(predictions: Predictions) -> list[str]:
    """Returns a note for each finding of which more than `TIES` of the images are tied, so that their order is lost."""
    shares = {
        name: tied_share(predictions.labels[:, i], predictions.probabilities[:, i])
        for i, name in enumerate(predictions.findings)
    }
    equal = {name: np.ptp(predictions.probabilities[:, i]) == 0 for i, name in enumerate(predictions.findings)}
    return [
        f"{name}: all images have the same score"
        if equal[name]
        else f"{name}: {share:.0%} of the images share their score with an image of the other class, so AUROC and "
        "average precision depend on how the scores were rounded"
        for name, share in shares.items()
        if share > TIES
    ]


def tied_share(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Returns the share of images of one finding that have the same score as an image of the other class.

    Args:
        labels: `(images,)`, 1, 0, or NaN where missing.
        probabilities: `(images,)`.
    """
    frame = pd.DataFrame({"label": labels, "score": probabilities}).dropna()
    return float((frame.groupby("score")["label"].transform("nunique") > 1).mean()) if len(frame) else 0.0

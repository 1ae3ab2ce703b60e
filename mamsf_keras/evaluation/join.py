"""Joins a file of predictions with a table of labels: rows by image, columns by the name of the finding."""

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from mamsf_keras.config import DataConfig, LabelsCsv
from mamsf_keras.data.open import open_dataset
from mamsf_keras.data.tables import count_and_first, patient_key
from mamsf_keras.evaluation.predictions import ATTRIBUTES, Predictions, is_known
from mamsf_keras.findings import find_name, with_nearest

logger = logging.getLogger(__name__)

TIES = 0.05
"""Share of the images that are tied with an image of the other class, above which a note is added."""


def read_labeled_predictions(predictions: str | Path, labels: LabelsCsv | str | Path | None = None) -> Predictions:
    """Reads a file of predictions with the labels of a table.

    Args:
        predictions: CSV file with `image`, optionally `patient`, and one column per finding.
        labels: the table of labels; None uses the NAME_label columns of the predictions.

    Returns:
        The predictions of all images in the file, in its order.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if an image or finding has no labels, or the patients of the two files differ.
    """
    read = Predictions.read(predictions, labeled_only=labels is None)
    if labels is None:
        if pd.isna(read.labels).all():
            raise ValueError(f"{predictions} has no NAME_label columns. Set `labels` to a table of labels.")
        return read
    options = labels if isinstance(labels, LabelsCsv) else LabelsCsv(str(labels))
    dataset = open_dataset(DataConfig(str(Path(options.path).parent), labels_csv=options, protocol=None))
    for note in dataset.notes:
        logger.info(note)
    return _join(read, dataset, predictions, options.path)


def _join(read, dataset, predictions, labels) -> Predictions:
    unknown = read.table["image"][~read.table["image"].isin(dataset.table["image"])]
    if len(unknown):
        raise ValueError(
            f"{predictions} has images without labels in {labels}: {count_and_first(unknown)}. "
            f"The labels have images such as {dataset.table['image'].iloc[0]}."
        )
    unpredicted = dataset.table["image"][~dataset.table["image"].isin(read.table["image"])]
    if len(unpredicted):
        logger.info(f"labeled images without a prediction, left out: {count_and_first(unpredicted)}")
    columns = match_findings(read.findings, dataset.findings)
    unpredicted = [name for name in dataset.findings if name not in columns]
    if unpredicted:
        logger.info(f"label columns without predictions, left out: {', '.join(unpredicted)}")
    table = dataset.table.set_index("image").loc[read.table["image"]].reset_index()
    _check_patients(read.table, table, predictions, labels)
    known = [name for name in ATTRIBUTES if is_known(table[name]).any()]
    labels = table[columns].to_numpy(float)
    return dataclasses.replace(read, table=table[["image", "patient", *known]], labels=labels)


def match_findings(wanted: Sequence[str], known: Sequence[str]) -> list[str]:
    """Returns the known name of each wanted finding, in any spelling; see `name_key`.

    Raises:
        ValueError: names the unknown finding and the nearest known one, or two findings with the same name.
    """
    matched = {name: find_name(name, known) for name in wanted}
    unknown = [with_nearest(name, known) for name, own in matched.items() if own is None]
    if unknown:
        raise ValueError(f"The labels have no finding {', '.join(unknown)}. They have: {', '.join(known)}.")
    names = [own for own in matched.values() if own is not None]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"The predictions have more than one column for {', '.join(twice)}.")
    return names


def _check_patients(predicted, labeled, predictions, labels):
    if predicted["patient"].equals(predicted["image"]):
        return  # the file has no patients
    other = predicted["patient"].map(patient_key).to_numpy() != labeled["patient"].map(patient_key).to_numpy()
    if other.any():
        raise ValueError(
            f"{predictions} and {labels} have different patients for these images: "
            f"{count_and_first(predicted['image'][other])}."
        )


def tie_notes(predictions: Predictions) -> list[str]:
    """Returns a note for each finding of which more than `TIES` of the images are tied: rounding hides their order."""
    shares = {
        name: tied_share(predictions.labels[:, i], predictions.probabilities[:, i])
        for i, name in enumerate(predictions.findings)
    }
    return [
        f"{name}: {share:.0%} of the images share their score with an image of the other class, so AUROC and average "
        "precision depend on how the scores were rounded"
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

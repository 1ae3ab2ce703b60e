"""Puts the predictions of several models into the same order: rows by image, columns by finding."""

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from mamsf_keras.data.tables import count_and_first, patient_key
from mamsf_keras.evaluation.predictions import Predictions


def align(predictions: Mapping[Path, Predictions]) -> list[Predictions]:
    """Returns the predictions in one order, which does not depend on that of the files.

    Rows are sorted by image; findings by their number of positives, the most frequent first.

    Args:
        predictions: predictions for the same images with the same labels, keyed by the folder of their run.

    Raises:
        ValueError: if the runs have different findings, images, labels or patients, or if two of them have the same
            probabilities; names the runs and the first differences.
    """
    items = [(path, _sorted(read)) for path, read in predictions.items()]
    reference, first = items[0]
    if np.isnan(first.labels).all():
        raise ValueError(f"The predictions of {reference} have no labels.")
    for path, other in items[1:]:
        _check_same((reference, path), first, other)
    for (path, read), (other_path, other) in combinations(items, 2):
        if np.array_equal(read.probabilities, other.probabilities):
            raise ValueError(
                f"{path} and {other_path} have the same predictions: one is a copy of the other, or their settings "
                "make no difference. A comparison needs independent runs."
            )
    order = np.argsort(-np.nansum(first.labels, axis=0), kind="stable")
    return [_columns(read, order) for _, read in items]


def _sorted(read) -> Predictions:
    """Returns predictions sorted by image and by the name of the finding."""
    by_image = read.take(np.argsort(read.table["image"].to_numpy(str), kind="stable"))
    return _columns(by_image, np.argsort(read.findings))


def _columns(read, order) -> Predictions:
    findings = tuple(read.findings[i] for i in order)
    return Predictions(read.table, findings, read.probabilities[:, order], read.labels[:, order])


def _check_same(runs, first, second):
    """Raises `ValueError` if sorted predictions of two runs differ in anything but their probabilities."""
    both = f"{runs[0]} and {runs[1]}"
    for what, one, two in (
        ("findings", pd.Series(first.findings), pd.Series(second.findings)),
        ("images", first.table["image"], second.table["image"]),
    ):
        missing = (two[~two.isin(one)], one[~one.isin(two)])
        lacks = [
            f"{run} lacks {count_and_first(names)}" for run, names in zip(runs, missing, strict=True) if len(names)
        ]
        if lacks:
            raise ValueError(f"{both} have predictions for different {what}: {'; '.join(lacks)}.")
    images = first.table["image"]
    for i, name in enumerate(first.findings):
        other = ~np.isclose(first.labels[:, i], second.labels[:, i], equal_nan=True)
        if other.any():
            raise ValueError(
                f"{both} have different labels for {name} on these images: {count_and_first(images[other])}."
            )
    other = first.table["patient"].map(patient_key) != second.table["patient"].map(patient_key)
    if other.any():
        raise ValueError(f"{both} have different patients for these images: {count_and_first(images[other])}.")

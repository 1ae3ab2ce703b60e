"""Predictions: probabilities and labels of one split, and the CSV file of them, from which all metrics are computed."""

import dataclasses
import logging
from pathlib import Path

import numpy as np
import pandas as pd

from mamsf_keras.data.ages import read_ages
from mamsf_keras.data.dataset import Dataset
from mamsf_keras.data.tables import count_and_first, read_csv, spells_missing
from mamsf_keras.storage import write_csv

logger = logging.getLogger(__name__)

ATTRIBUTES = ("age", "sex", "view")
"""Optional columns that define subgroups."""

LABEL_SUFFIX = "_label"

DERIVED_SUFFIXES = ("_calibrated", "_positive")
"""Columns of `predict` that follow from the probabilities. They are not findings."""


@dataclasses.dataclass(frozen=True)
class Predictions:
    """Probabilities and labels of the images of one split.

    Attributes:
        table: one row per image with the columns `image`, `patient` and, where known, `age`, `sex` and `view`.
        findings: names of the columns of the arrays.
        probabilities: float64 `(images, findings)`, in [0, 1].
        labels: float64 `(images, findings)`: 1, 0, or NaN where missing.
    """

    table: pd.DataFrame
    findings: tuple[str, ...]
    probabilities: np.ndarray
    labels: np.ndarray

    @classmethod
    def of(cls, dataset: Dataset, probabilities: np.ndarray) -> "Predictions":
        """Returns the predictions for the images of a data set, in its order."""
        known = [name for name in ATTRIBUTES if name in dataset.table and is_known(dataset.table[name]).any()]
        table = dataset.table[["image", "patient", *known]].reset_index(drop=True)
        return cls(table, tuple(dataset.findings), np.asarray(probabilities, float), dataset.labels.astype(float))

    @property
    def patients(self) -> np.ndarray:
        """The patient of each image, `(images,)`."""
        return self.table["patient"].to_numpy()

    def take(self, rows: np.ndarray) -> "Predictions":
        """Returns the predictions of some rows, by index or mask."""
        table = self.table[rows] if np.asarray(rows).dtype == bool else self.table.iloc[rows]
        return Predictions(table.reset_index(drop=True), self.findings, self.probabilities[rows], self.labels[rows])

    def write(self, path: str | Path) -> None:
        """Writes CSV: the table, NAME and NAME_label of each finding. 9 digits distinguish all float32 values."""
        scores = pd.DataFrame(self.probabilities, columns=list(self.findings), index=self.table.index)
        labels = pd.DataFrame(self.labels, columns=list(self.findings), index=self.table.index)
        labels = labels.astype("Int64").add_suffix(LABEL_SUFFIX)
        write_csv(path, pd.concat([self.table, scores, labels], axis=1), float_format="%.9g")

    @classmethod
    def read(cls, path: str | Path) -> "Predictions":
        """Reads a file of `write`, or any CSV with `image`, optionally `patient`, and one column per finding.

        Without NAME_label columns all labels are NaN. Without `patient`, each image counts as a separate patient until
        labels are joined.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: names columns, images and cells that are not usable.
        """
        raw = read_csv(path, required=["image"])
        repeated = raw["image"][raw["image"].duplicated()].unique()
        if len(repeated):
            raise ValueError(f"{path} has more than one row for the same image: {count_and_first(repeated)}.")
        others = {"image", "patient", *ATTRIBUTES}
        suffixes = (LABEL_SUFFIX, *DERIVED_SUFFIXES)
        findings = [name for name in raw.columns if name not in others and not name.endswith(suffixes)]
        if not findings:
            raise ValueError(f"{path} has no column of a finding.")
        if raw.columns.duplicated().any():
            raise ValueError(f"{path} has the column(s) {', '.join(raw.columns[raw.columns.duplicated()])} twice.")
        probabilities = np.stack([_probabilities(raw, name, path) for name in findings], axis=1)
        labels = np.stack([_labels(raw, name, path) for name in findings], axis=1)
        table = raw[[name for name in raw.columns if name in others]]
        if "patient" not in table:
            table = table.assign(patient=table["image"])
        elif (missing := spells_missing(table["patient"])).any():
            raise ValueError(f"{path} has images without a patient: {count_and_first(table['image'][missing])}.")
        if "age" in table:
            ages, notes = read_ages(table["age"])
            table = table.assign(age=ages)
            for note in notes:
                logger.info(note)
        return cls(table, tuple(findings), probabilities, labels)


def is_known(column: pd.Series) -> pd.Series:
    """Returns True for the cells of a column that are neither missing nor blank."""
    return column.notna() & column.astype(str).str.strip().ne("")


def _probabilities(raw, name, path) -> np.ndarray:
    """Returns a column of probabilities; raises `ValueError` on cells that are not in [0, 1]."""
    values = pd.to_numeric(raw[name], errors="coerce").to_numpy(float)
    missing = ~np.isfinite(values)
    if missing.any():
        raise ValueError(
            f"{path}, column {name}: a probability must be a finite number. Received none for the images "
            f"{count_and_first(raw['image'][missing])}."
        )
    outside = (values < 0) | (values > 1)
    if outside.any():
        raise ValueError(
            f"{path}, column {name}: a probability must be in [0, 1]. Received: {values[outside][0]:g} for the image "
            f"{raw['image'][outside].iloc[0]}. If these are logits, apply the sigmoid function first."
        )
    return values


def _labels(raw, name, path) -> np.ndarray:
    if f"{name}{LABEL_SUFFIX}" not in raw:
        return np.full(len(raw), np.nan)
    cells = raw[f"{name}{LABEL_SUFFIX}"]
    values = pd.to_numeric(cells.mask(cells == ""), errors="coerce")
    wrong = cells[(values.isna() & (cells != "")) | ~(values.isna() | values.isin((0, 1)))].unique()
    if len(wrong):
        raise ValueError(f"{path}, column {name}{LABEL_SUFFIX}: a label must be 1, 0 or blank. Found: {wrong[0]}.")
    return values.to_numpy(float)

"""Predictions: probabilities and labels of one split, and their CSV file, from which all metrics are computed."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd

from mamsf_keras.data.ages import read_ages
from mamsf_keras.data.dataset import Dataset
from mamsf_keras.data.tables import count_and_first, read_csv, spells_missing
from mamsf_keras.evaluation.prediction_columns import LABEL_SUFFIX, PredictionColumns
from mamsf_keras.storage import write_csv

ATTRIBUTES = ("age", "sex", "view")
"""Optional columns that define subgroups."""


@dataclasses.dataclass(frozen=True)
class Predictions:
    """Probabilities and labels of the images of one split.

    Attributes:
        table: one row per image with the columns `image`, `patient` and, where known, `age`, `sex` and `view`.
        findings: names of the columns of the arrays.
        probabilities: float64 `(images, findings)`, in [0, 1].
        labels: float64 `(images, findings)`: 1, 0, or NaN where missing.
        has_patients: False if the patients are not known, so that each image counts as a separate patient.
        notes: notes for the user about the file, one line each.
    """

    table: pd.DataFrame
    findings: tuple[str, ...]
    probabilities: np.ndarray
    labels: np.ndarray
    has_patients: bool = True
    notes: tuple[str, ...] = ()

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
        table = table.reset_index(drop=True)
        return dataclasses.replace(self, table=table, probabilities=self.probabilities[rows], labels=self.labels[rows])

    def write(self, path: str | Path) -> None:
        """Writes CSV: the table, NAME and NAME_label of each finding. 9 digits distinguish all float32 values."""
        scores = pd.DataFrame(self.probabilities, columns=list(self.findings), index=self.table.index)
        labels = pd.DataFrame(self.labels, columns=list(self.findings), index=self.table.index)
        labels = labels.astype("Int64").add_suffix(LABEL_SUFFIX)
        write_csv(path, pd.concat([self.table, scores, labels], axis=1), float_format="%.9g")

    @classmethod
    def read(cls, path: str | Path, labeled_only: bool = False) -> "Predictions":
        """Reads a file written by `write`, or any CSV with `image`, optionally `patient`, and one column per finding.

        Patient, age, sex and view may have any name that a label table may use for them.

        Args:
            path: the file.
            labeled_only: whether to leave out findings without a NAME_label column. Otherwise their labels are NaN.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: names columns, images and cells that are not usable.
        """
        raw = read_csv(path, required=["image"])
        repeated = raw["image"][raw["image"].duplicated()].unique()
        if len(repeated):
            raise ValueError(f"{path} has more than one row for the same image: {count_and_first(repeated)}.")
        if raw.columns.duplicated().any():
            twice = ", ".join(raw.columns[raw.columns.duplicated()].unique())
            raise ValueError(f"{path} has the column(s) {twice} more than once.")
        columns = PredictionColumns.of(raw.columns, path)
        unlabeled = [name for name, label in columns.labels.items() if label is None] if labeled_only else []
        findings = tuple(name for name in columns.labels if name not in unlabeled)
        if not findings:
            raise ValueError(f"{path} has no NAME{LABEL_SUFFIX} columns. Set `labels` to a label table.")
        probabilities = np.stack([_probabilities(raw, name, path) for name in findings], axis=1)
        labels = np.stack([_labels(raw, columns.labels[name], path) for name in findings], axis=1)
        table, notes = _read_properties(raw, columns.properties, path)
        if unlabeled:
            notes += (f"columns without a NAME{LABEL_SUFFIX} column, left out: {', '.join(unlabeled)}",)
        return cls(table, findings, probabilities, labels, "patient" in columns.properties, notes)


def is_known(column: pd.Series) -> pd.Series:
    """Returns True for the cells of a column that are neither missing nor blank."""
    return column.notna() & column.astype(str).str.strip().ne("")


def _read_properties(raw, columns, path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Returns `image`, `patient` (the image if not known), `age`, `sex` and `view` where known, and notes."""
    table = raw[["image", *columns.values()]].rename(columns={name: what for what, name in columns.items()})
    if "patient" not in table:
        table = table.assign(patient=table["image"])
    elif (missing := spells_missing(table["patient"])).any():
        raise ValueError(f"{path} has images without a patient: {count_and_first(table['image'][missing])}.")
    notes: tuple[str, ...] = ()
    if "age" in table:
        ages, notes = read_ages(table["age"])
        table = table.assign(age=ages)
    known = [name for name in ATTRIBUTES if name in table and is_known(table[name]).any()]
    return table[["image", "patient", *known]], notes


def _probabilities(raw, name, path) -> np.ndarray:
    """Returns a column of probabilities; raises `ValueError` on cells that are not in [0, 1]."""
    values = pd.to_numeric(raw[name], errors="coerce").to_numpy(float)
    missing = ~np.isfinite(values)
    if missing.any():
        raise ValueError(
            f"{path}, column {name}: a probability must be a finite number. Images without one: "
            f"{count_and_first(raw['image'][missing])}."
        )
    outside = (values < 0) | (values > 1)
    if outside.any():
        raise ValueError(
            f"{path}, column {name}: a probability must be in [0, 1]. Received: {values[outside][0]:g} for the image "
            f"{raw['image'][outside].iloc[0]}. If these are logits, apply the sigmoid function; if they are "
            "percentages, divide them by 100; if the column is not a finding, remove it."
        )
    return values


def _labels(raw, column, path) -> np.ndarray:
    """Returns a column of labels, NaN where blank; all NaN if `column` is None."""
    if column is None:
        return np.full(len(raw), np.nan)
    cells = raw[column]
    values = pd.to_numeric(cells.mask(cells == ""), errors="coerce")
    wrong = cells[(values.isna() & (cells != "")) | ~(values.isna() | values.isin((0, 1)))].unique()
    if len(wrong):
        raise ValueError(f"{path}, column {column}: a label must be 1, 0 or blank. Found: {wrong[0]}.")
    return values.to_numpy(float)

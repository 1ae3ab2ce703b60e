"""Reads any CSV table of image paths and label columns, such as those of CXR-LT, CheXpert and PadChest.

The table has one row per image and one column per finding. Of rows that repeat an image with the same labels and
patient, as in tables with one row per box, the first counts. What a blank label means is up to the maker: in CheXpert
it is "not mentioned", and masking it leaves hardly any negatives.

Citation and license are those of the data set: CheXpert (Irvin et al., AAAI 2019, arXiv 1901.07031), MIMIC-CXR-JPG and
CXR-LT (Johnson et al., arXiv 1901.07042; Holste et al., arXiv 2310.16112) and PadChest (Bustos et al., arXiv
1901.07441) are free for research after registration; read their terms before you train on them.
"""

import os
from pathlib import Path

import numpy as np
import pandas as pd

from mamsf_keras.config import DataConfig
from mamsf_keras.data.dataset import PLACE_COLUMNS, Dataset
from mamsf_keras.data.image_files import ImageFiles
from mamsf_keras.data.tables import check_names, count_and_first, existing_folder, patient_key, read_csv
from mamsf_keras.storage import may_be_file

KNOWN = {
    "image": ("image", "path", "Path", "fpath", "Image Index", "ImageID", "filename"),
    "patient": ("patient", "Patient ID", "PatientID", "patient_id", "subject_id"),
    "age": ("age", "Age", "Patient Age", "PatientAge"),
    "sex": ("sex", "Sex", "Patient Gender", "PatientSex", "PatientSex_DICOM"),
    "view": ("view", "View Position", "ViewPosition", "AP/PA", "Projection"),
}
"""Column names that are used where none is given; the first that the table has."""

PATIENT_FOLDER = r"(?:^|/)((?:patient|p)\d{5,})/"
"""A folder in the path of an image that names the patient, as in CheXpert and MIMIC-CXR."""

VALUES = {"1": 1, "1.0": 1, "true": 1, "0": 0, "0.0": 0, "false": 0, "-1": -1, "-1.0": -1, "": np.nan, "nan": np.nan}
"""What a label cell may hold, in any case: positive, negative, uncertain (-1), blank."""

RESERVED = {"image", "patient", "follow_up", "age", "sex", "view", "official_list", "split", *PLACE_COLUMNS}
"""Column names of a `Dataset` and of a cache's index."""


def recognizes(config: DataConfig) -> bool:
    """Returns True if the configuration names a table of labels."""
    return config.labels_csv is not None


def read(config: DataConfig) -> Dataset:
    """Reads the table; see `LabelsCsv` for the options. The images are looked up later, by path.

    The findings are the `label_columns`, or else every column that holds nothing but 1, 0, -1 and blanks, and at least
    one 1. The patient is taken from the `patient_column`, or else the first of `KNOWN`, or else a folder such as
    `patient00001` or `p10000032` in the path.

    Raises:
        FileNotFoundError: if the data folder or the table is missing.
        ValueError: describes what is wrong with the table, with counts and first names.
    """
    data_dir = existing_folder(config.data_dir)
    options = config.labels_csv
    assert options is not None  # see `recognizes`
    path = Path(options.path)
    given = (options.image_column, options.patient_column, *options.label_columns)
    raw = read_csv(path, required=[name for name in given if name])
    columns = {what: getattr(options, f"{what}_column", None) or _known(raw, what) for what in KNOWN}
    if columns["image"] is None:
        raise ValueError(f"{path} has none of the columns {', '.join(KNOWN['image'])}: name it with `image_column`.")
    findings = options.label_columns
    notes: tuple[str, ...] = ()
    if not findings:
        findings, notes = _label_columns(raw, set(columns.values()))
    if not findings:
        raise ValueError(f"{path} has no column of 1, 0, -1 and blanks: name the label columns with `label_columns`.")
    others = {column for what, column in columns.items() if column and what != "image"}
    _check_columns([columns["image"], *findings], others, raw, path)
    labels = {name: _labels(raw[name], path, options.blank, options.uncertain) for name in findings}
    table = pd.concat([_read_images(raw, columns, path), pd.DataFrame(labels, dtype="float32")], axis=1)
    table, repeated = _one_row_per_image(table, raw[list(findings)], path)
    check_names(table["image"], table["patient"], path)
    store = ImageFiles(data_dir, find_images, config.allow_missing)
    return Dataset(table, findings, store, notes=(*notes, *repeated), sources=(path,))


def _read_images(raw, columns, path) -> pd.DataFrame:
    """Returns the columns of a `Dataset` that are not labels."""
    blank = pd.Series("", index=raw.index)
    age, sex, view = (raw[columns[what]] if columns[what] else blank for what in ("age", "sex", "view"))
    return pd.DataFrame(
        {
            "image": raw[columns["image"]],
            "patient": _patients(raw, columns["image"], columns["patient"], path),
            "follow_up": np.nan,
            "age": pd.to_numeric(age.str.extract(r"(\d+)")[0], errors="coerce"),
            "sex": sex,
            "view": view,
            "official_list": "",
        }
    )


def _one_row_per_image(table, written, path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Drops rows that repeat an image with the same labels, as in tables with one row per box; others are an error."""
    values = written.apply(lambda column: column.str.lower().map(VALUES))
    repeated = pd.concat([table[["image", "patient"]], values], axis=1).duplicated()
    kept = table[~repeated].reset_index(drop=True)
    different = kept["image"][kept["image"].duplicated()].unique()
    if len(different):
        raise ValueError(
            f"{path} has rows of different labels or patients for the same image: {count_and_first(different)}."
        )
    names = table["image"][repeated].unique()
    note = f"images with more than one row of the same labels, counted once: {count_and_first(names)}"
    return kept, (note,) if len(names) else ()


def find_images(images: pd.Series, data_dir: str | Path) -> tuple[pd.Series, tuple[str, ...]]:
    """Finds the file of each image, its path relative to the data folder; NaN where there is none. No notes."""
    paths = images.map(lambda name: os.path.join(data_dir, name))
    return paths.where(paths.map(may_be_file)), ()


def _known(raw, what):
    return next((name for name in KNOWN[what] if name in raw.columns), None)


def _label_columns(raw, taken) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the label columns, and notes about columns that look like labels but are not used."""
    names, notes = [], []
    for name in raw.columns:
        if not name or name in taken or (raw.columns == name).sum() > 1:
            continue
        cells = raw[name].str.lower()
        other, positive = cells[~cells.isin(VALUES)], cells.map(VALUES).eq(1).any()
        if positive and other.empty:
            names.append(name)
        elif len(other) < len(cells) / 2 and not cells.eq("").all():
            why = f"cells such as {raw[name][other.index[0]]!r}" if len(other) else "without a positive"
            notes.append(f"column not taken as a finding, {why}: {name} (`label_columns` names the columns)")
    return tuple(names), tuple(notes)


def _check_columns(names, others, raw, path):
    """Checks the columns of the image and the findings, `names`, and the other columns that are used."""
    repeated = {name for name in (*names, *others) if (raw.columns == name).sum() > 1}
    twice = sorted(repeated | {name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{path} has, or `label_columns` names, the column(s) {', '.join(twice)} more than once.")
    _, *findings = names
    reserved = sorted(RESERVED.intersection(findings))
    if reserved:
        raise ValueError(f"{path}: a label column cannot be called {', '.join(reserved)}. Rename it.")


def _patients(raw, image_column, patient_column, path) -> pd.Series:
    if patient_column:
        return raw[patient_column].map(patient_key)
    patients = raw[image_column].str.extract(PATIENT_FOLDER)[0]
    if patients.isna().any():
        raise ValueError(
            f"{path} has no column of patients (one of {', '.join(KNOWN['patient'])}): name it with `patient_column`. "
            f"If no patient has two images, name the column of the images, {image_column}."
        )
    return patients


def _labels(column, path, blank, uncertain) -> pd.Series:
    values = column.str.lower().map(VALUES)
    unknown = column[~column.str.lower().isin(list(VALUES))].unique()
    if len(unknown):
        raise ValueError(
            f"{path}, column {column.name}: a label must be 1, 0, -1 or blank. Found: {count_and_first(unknown)}. "
            "The `str.get_dummies` of pandas turns names in one column into such columns."
        )
    missing = values.isna()
    values = values.replace(-1, {"mask": np.nan, "negative": 0.0, "positive": 1.0}[uncertain])
    return values.mask(missing, 0.0) if blank == "negative" else values

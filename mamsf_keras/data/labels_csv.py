"""Reads any CSV table of image path and label columns, such as those of CXR-LT, CheXpert and PadChest."""

import os
from pathlib import Path

import numpy as np
import pandas as pd

from mamsf_keras.data.tables import Studies, check_names, count_and_first, existing_folder, patient_key, read_csv

KNOWN = {
    "image": ("image", "path", "Path", "fpath", "Image Index", "ImageID", "filename"),
    "patient": ("patient", "Patient ID", "PatientID", "patient_id", "subject_id"),
    "age": ("age", "Age", "Patient Age", "PatientAge"),
    "sex": ("sex", "Sex", "Patient Gender", "PatientSex", "PatientSex_DICOM"),
    "view": ("view", "View Position", "ViewPosition", "AP/PA", "Projection"),
}
"""Column names that are taken where none is given, the first that is there."""

PATIENT_FOLDER = r"(?:^|/)((?:patient|p)\d{5,})/"
"""A folder of the image's path that names the patient, as in CheXpert and MIMIC-CXR."""

VALUES = {"1": 1, "1.0": 1, "true": 1, "0": 0, "0.0": 0, "false": 0, "-1": -1, "-1.0": -1, "": np.nan, "nan": np.nan}
"""What a label cell may hold, in any case: positive, negative, uncertain (-1), blank."""

RESERVED = set("image patient follow_up age sex view official_part part path row shard sha256 height width".split())
"""Column names of the studies table and of a cache's index."""


def read_labels_csv(
    labels_csv, label_columns=(), image_column=None, patient_column=None, blank="mask", uncertain="mask"
) -> Studies:
    """Reads a table with one row an image and one column a finding.

    Of rows that repeat an image with the same labels and patient, as in tables with a row a box, the first counts.
    What a blank means is the maker's: in CheXpert it is "not mentioned", and masking it leaves hardly a negative.

    Args:
        labels_csv: the file.
        label_columns: names of the label columns, in output order; empty takes every column that holds nothing but
            1, 0, -1 and blanks, and at least one 1.
        image_column: column of the paths relative to the data folder; None takes the first of `KNOWN`.
        patient_column: None takes the first of `KNOWN`, or else the folder `patient00001` or `p10000032` in the path.
        blank: what a blank label is: "mask" (missing) or "negative".
        uncertain: what -1 is: "mask", "negative" or "positive".

    Returns:
        `Studies` with these findings; labels float32, NaN where missing.

    Raises:
        ValueError: says what is wrong with the table, with counts and first names.
    """
    path = Path(labels_csv)
    raw = read_csv(path, required=[name for name in (image_column, patient_column, *label_columns) if name])
    image_column = image_column or _known(raw, "image")
    if image_column is None:
        raise ValueError(f"{path} has none of the columns {', '.join(KNOWN['image'])}: name it with --image-column.")
    patient_column = patient_column or _known(raw, "patient")
    meta = {name: _known(raw, name) for name in ("age", "sex", "view")}
    taken = {image_column, patient_column, *meta.values()}
    findings, not_taken = (tuple(label_columns), ()) if label_columns else _label_columns(raw, taken)
    if not findings:
        raise ValueError(f"{path} has no column of 1, 0, -1 and blanks: name the label columns with --label-columns.")
    used = dict.fromkeys(name for name in (patient_column, *meta.values()) if name)
    _check_columns([image_column, *findings], list(used), raw, path)
    table = pd.DataFrame({"image": raw[image_column], "patient": _patients(raw, image_column, patient_column, path)})
    blanks = pd.Series("", index=raw.index)
    columns = {name: raw[column] if column else blanks for name, column in meta.items()}
    table["follow_up"] = np.nan
    table["age"] = pd.to_numeric(columns["age"].str.extract(r"(\d+)")[0], errors="coerce")
    table = table.assign(sex=columns["sex"], view=columns["view"], official_part="")
    labels = {name: _labels(raw[name], path, blank, uncertain) for name in findings}
    table = pd.concat([table, pd.DataFrame(labels, dtype="float32")], axis=1)
    table, notes = _one_row_an_image(table, raw[list(findings)], path)
    check_names(table["image"], table["patient"], path)
    return Studies(table, findings, not_taken + notes)


def _one_row_an_image(table, written, path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Counts rows once that say the same of an image, as in tables with a row a box, and refuses others."""
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


def find_by_path(studies: Studies, data_dir) -> pd.Series:
    """Returns the file of each image, its path relative to the data folder; NaN where there is none."""
    data_dir = existing_folder(data_dir)
    paths = studies.table["image"].map(lambda name: os.path.join(data_dir, name))
    return paths.where(paths.map(os.path.isfile))


def _known(raw, what):
    return next((name for name in KNOWN[what] if name in raw.columns), None)


def _label_columns(raw, taken) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the columns of labels, and notes of those that look like it but are not taken."""
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
            notes.append(f"column not taken as a finding, {why}: {name} (--label-columns names the columns)")
    return tuple(names), tuple(notes)


def _check_columns(names, others, raw, path):
    twice = {name for name in (*names, *others) if (raw.columns == name).sum() > 1}
    twice = sorted(twice | {name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{path}: the column(s) {', '.join(twice)} are there, or asked for, more than once.")
    reserved = sorted(RESERVED & set(names[1:]))
    if reserved:
        raise ValueError(f"{path}: a label column cannot be called {', '.join(reserved)}. Rename it.")


def _patients(raw, image_column, patient_column, path) -> pd.Series:
    if patient_column:
        return raw[patient_column].map(patient_key)
    patients = raw[image_column].str.extract(PATIENT_FOLDER)[0]
    if patients.isna().any():
        raise ValueError(
            f"{path} has no column that says which patient an image is of (one of {', '.join(KNOWN['patient'])}): name "
            f"it with --patient-column. If no patient has two images, name the column of the images, {image_column}."
        )
    return patients


def _labels(column, path, blank, uncertain) -> pd.Series:
    values = column.str.lower().map(VALUES)
    unknown = column[~column.str.lower().isin(list(VALUES))].unique()
    if len(unknown):
        raise ValueError(
            f"{path}, column {column.name}: a label must be 1, 0, -1 or blank. Found: {count_and_first(unknown)}. "
            "Names in one column become such columns by pandas' `str.get_dummies`."
        )
    missing = values.isna()
    values = values.replace(-1, {"mask": np.nan, "negative": 0.0, "positive": 1.0}[uncertain])
    return values.mask(missing, 0.0) if blank == "negative" else values

"""Reads any CSV table of image paths and label columns, such as those of CXR-LT, CheXpert and PadChest.

The table has one row per image and one column per finding. If several rows repeat an image with the same labels and
patient, as in tables with one row per box, the first row is used. The meaning of a blank label depends on the data set:
in CheXpert it is "not mentioned", and masking it leaves hardly any negatives.

Citation and license are those of the data set: CheXpert (Irvin et al., AAAI 2019, arXiv 1901.07031), MIMIC-CXR-JPG and
CXR-LT (Johnson et al., arXiv 1901.07042; Holste et al., arXiv 2310.16112) and PadChest (Bustos et al., arXiv
1901.07441) are free for research after registration; read their terms before you train on them.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from mamsf_keras.config import DataConfig
from mamsf_keras.data.ages import read_ages
from mamsf_keras.data.dataset import PLACE_COLUMNS, Dataset
from mamsf_keras.data.image_files import ImageFiles
from mamsf_keras.data.image_paths import explain_path, find_by_path
from mamsf_keras.data.label_columns import find_label_columns, label_values, read_labels
from mamsf_keras.data.readers.nih import is_phantoms
from mamsf_keras.data.tables import (
    check_columns,
    check_names,
    count_and_first,
    existing_folder,
    patient_key,
    read_csv,
)
from mamsf_keras.findings import find_name, name_key

KNOWN = {
    "image": ("image", "path", "fpath", "image_index", "image_id", "filename"),
    "patient": ("patient", "patient_id", "subject_id"),
    "age": ("age", "patient_age"),
    "sex": ("sex", "gender", "patient_gender", "patient_sex", "patient_sex_dicom"),
    "view": ("view", "view_position", "AP/PA", "projection"),
}
"""Column names to look for where none is given. The first one in the table is used; `name_key` compares names."""

PATIENT_FOLDER = r"(?:^|/)((?:patient|p)\d{5,})/"
"""A folder in the path of an image that names the patient, as in CheXpert and MIMIC-CXR."""

RESERVED = {"image", "patient", "follow_up", "age", "sex", "view", "official_list", "split", *PLACE_COLUMNS}
"""Column names of a `Dataset` and of a cache's index."""


class NoPatients(ValueError):
    """Raised if a table does not name the patients.

    Attributes:
        image_column: the column of the images, which can serve as the patient column if each patient has one image.
    """

    def __init__(self, image_column: str, message: str) -> None:
        super().__init__(message)
        self.image_column = image_column


def recognizes(config: DataConfig) -> bool:
    """Returns True if the configuration names a label table."""
    return config.labels_csv is not None


def read(config: DataConfig) -> Dataset:
    """Reads the table; see `LabelsCsv` for the options. The images are searched for later, by path.

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
    raw = read_csv(path, required=())
    columns = _image_columns(raw, options, path)
    findings, notes = _findings(raw, options, set(columns.values()), path)
    _check_columns(columns["image"], findings, {column for column in columns.values() if column}, raw, path)
    labels = {name: read_labels(raw[name], path, options.blank, options.uncertain) for name in findings}
    images, age_notes = _read_images(raw, columns, path)
    table = pd.concat([images, pd.DataFrame(labels, dtype="float32")], axis=1)
    table, repeated = _one_row_per_image(table, raw[list(findings)], path)
    check_names(table["image"], table["patient"], path)
    store = ImageFiles(data_dir, find_by_path, config.allow_missing, explain_path)
    kind = "phantoms" if is_phantoms(data_dir) else "labels_csv"
    return Dataset(table, findings, store, notes=(*notes, *age_notes, *repeated), sources=(path,), kind=kind)


def _image_columns(raw, options, path) -> dict[str, str | None]:
    """Returns the name of each column of `KNOWN` in the table, or None."""
    given = {"image": options.image_column, "patient": options.patient_column}
    columns = {what: _spelled([given[what]], raw, path)[0] if given.get(what) else _known(raw, what) for what in KNOWN}
    if columns["image"] is None:
        raise ValueError(f"{path} has none of the columns {', '.join(KNOWN['image'])}. Set `image_column`.")
    return columns


def _findings(raw, options, taken, path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the label columns as the table spells them, and notes about columns that are not used."""
    if options.label_columns:
        return _spelled(options.label_columns, raw, path), ()
    findings, notes = find_label_columns(raw, taken)
    if not findings:
        raise ValueError(f"{path} has no column that contains only 1, 0, -1 and blanks. Set `label_columns`.")
    return findings, notes


def _spelled(names, raw, path) -> tuple[str, ...]:
    """Returns column names as the table spells them."""
    spelled = [find_name(name, raw.columns) or name for name in names]
    check_columns(raw.columns, spelled, path)
    return tuple(spelled)


def _read_images(raw, columns, path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Returns the columns of a `Dataset` that are not labels, and notes."""
    blank = pd.Series("", index=raw.index)
    age, sex, view = (raw[columns[what]] if columns[what] else blank for what in ("age", "sex", "view"))
    ages, notes = read_ages(age)
    images = pd.DataFrame(
        {
            "image": raw[columns["image"]],
            "patient": _patients(raw, columns["image"], columns["patient"], path),
            "follow_up": np.nan,
            "age": ages,
            "sex": sex,
            "view": view,
            "official_list": "",
        }
    )
    return images, notes


def _one_row_per_image(table, written, path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Drops rows that repeat an image with the same labels, as in tables with one row per box.

    Raises:
        ValueError: if rows for the same image have different labels or patients.
    """
    values = written.apply(label_values)
    repeated = pd.concat([table[["image", "patient"]], values], axis=1).duplicated()
    kept = table[~repeated].reset_index(drop=True)
    different = kept["image"][kept["image"].duplicated()].unique()
    if len(different):
        raise ValueError(
            f"{path} has rows with different labels or patients for the same image: {count_and_first(different)}."
        )
    names = table["image"][repeated].unique()
    note = f"images in several rows with the same labels, counted once: {count_and_first(names)}"
    return kept, (note,) if len(names) else ()


def _known(raw, what):
    keys = {name_key(column): column for column in reversed(raw.columns)}
    return next((keys[name_key(name)] for name in KNOWN[what] if name_key(name) in keys), None)


def _check_columns(image, findings, others, raw, path):
    """Checks that no column and no finding occurs more than once, and that no finding has a reserved name."""
    repeated = {name for name in (image, *findings, *others) if (raw.columns == name).sum() > 1}
    twice = sorted(repeated | {name for name in (image, *findings) if (image, *findings).count(name) > 1})
    if twice:
        raise ValueError(f"The column(s) {', '.join(twice)} occur more than once in {path} or in `label_columns`.")
    same = [name for name in findings if [name_key(other) for other in findings].count(name_key(name)) > 1]
    if same:
        raise ValueError(
            f"{path} has several columns for the same finding: {', '.join(same)}. Choose one with `label_columns`."
        )
    reserved = sorted(RESERVED.intersection(findings))
    if reserved:
        raise ValueError(f"{path}: a label column cannot be named {', '.join(reserved)}. Rename it.")


def _patients(raw, image_column, patient_column, path) -> pd.Series:
    if patient_column:
        return raw[patient_column].map(patient_key)
    patients = raw[image_column].str.extract(PATIENT_FOLDER)[0]
    if patients.isna().any():
        raise NoPatients(
            image_column,
            f"{path} has no patient column (one of {', '.join(KNOWN['patient'])}). Set `patient_column`. "
            f"If each patient has only one image, set it to the image column, {image_column}.",
        )
    return patients

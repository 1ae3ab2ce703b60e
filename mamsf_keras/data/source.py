"""The original images and tables of a data set, in the NIH layout or with a CSV table of labels."""

import dataclasses
from pathlib import Path

import pandas as pd

from mamsf_keras.config import DataConfig
from mamsf_keras.data import chestxray14, labels_csv
from mamsf_keras.data.tables import Studies, existing_folder, keep_found


def read_studies(data_dir, allow_missing: bool = False) -> Studies:
    """Reads the tables of an NIH folder and finds the file of each image.

    Args:
        data_dir: folder with `Data_Entry_2017.csv` (or `_v2020`), `train_val_list.txt`, `test_list.txt`, and the
            images by their base name under `images*/` at any depth, or anywhere below where there is no such folder.
        allow_missing: go on without the images that are not there.

    Returns:
        `Studies` with the `path` of each image.

    Raises:
        ValueError: says what is wrong with the tables or images, with counts and the first five names.
        FileNotFoundError: names the folder or table that is missing.
    """
    data = DataConfig(data_dir, allow_missing=allow_missing)
    return find_images(read_tables(data), data)


def read_tables(data: DataConfig) -> Studies:
    """Reads the tables, without looking for the images.

    Raises:
        ValueError, FileNotFoundError: as `chestxray14.read_tables` and `read_labels_csv`.
    """
    if data.labels_csv is None:
        return chestxray14.read_tables(data.data_dir)
    existing_folder(data.data_dir)
    return labels_csv.read_labels_csv(
        data.labels_csv, data.label_columns, data.image_column, data.patient_column, data.blank, data.uncertain
    )


def find_images(studies: Studies, data: DataConfig) -> Studies:
    """Adds the `path` of each image and keeps those that are there."""
    paths, notes = find_files(studies, data)
    studies = dataclasses.replace(studies, notes=studies.notes + notes)
    return keep_found(studies, paths, data.data_dir, data.allow_missing)


def find_files(studies: Studies, data: DataConfig) -> tuple[pd.Series, tuple[str, ...]]:
    """Returns the file of each image, NaN where there is none; and notes.

    In the NIH layout an image is found by its base name, with a table of labels by its path.
    """
    if data.labels_csv is None:
        return chestxray14.find_by_name(studies, data.data_dir)
    return labels_csv.find_by_path(studies, data.data_dir), ()


def source_files(data: DataConfig) -> list[Path]:
    """Lists the tables that the studies come from."""
    if data.labels_csv is not None:
        return [Path(data.labels_csv)]
    names = (*chestxray14.TABLES, *chestxray14.LISTS.values())
    paths = [Path(data.data_dir) / name for name in names]
    return [path for path in paths if path.is_file()]

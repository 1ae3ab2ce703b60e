"""Functions for all tables: reading CSV files, normalizing patient ids, and rejecting unsafe image names."""

import csv
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import pandas as pd

OUTSIDE = r"^$|^[/\\]|^[A-Za-z]:|(?:^|[/\\])\.\.(?:[/\\]|$)"
"""Names that are empty, absolute or leave the folder, checked lexically with the separators of every system."""


def read_csv(path: str | Path, required: Iterable[str]) -> pd.DataFrame:
    """Reads a CSV table as text. Byte-order marks, any line ends and trailing commas are accepted.

    Args:
        path: the file.
        required: names of columns that the table must have.

    Returns:
        A data frame of strings, one row per record.

    Raises:
        FileNotFoundError: names the file.
        ValueError: names the file and the line whose number of fields is not the header's, or the missing columns.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"The table {path} does not exist or is not a file.")
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            rows = [(reader.line_num, row) for row in reader if any(row)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is not a CSV table in UTF-8: {error}.") from error
    if len(rows) < 2:
        raise ValueError(f"{path} has no rows.")
    header = [name.strip() for name in rows[0][1]]
    while header and not header[-1]:
        header.pop()
    missing = [name for name in required if name not in header]
    if missing:
        raise ValueError(f"{path} lacks the column(s) {', '.join(missing)}. Found: {', '.join(header)}.")
    width = len(header)
    for line, row in rows[1:]:
        if len(row) < width or any(field.strip() for field in row[width:]):
            raise ValueError(f"{path}, line {line}: {len(row)} fields where the header has {width}.")
    return pd.DataFrame([[field.strip() for field in row[:width]] for _, row in rows[1:]], columns=header, dtype=str)


def patient_key(patient: object) -> str:
    """Returns one spelling of a patient id: "13" for 13, 13.0, "00000013"; the stripped text if it is not a number."""
    text = str(patient).strip()
    whole, _, fraction = text.partition(".")
    if whole.isdecimal() and not fraction.strip("0"):
        return str(int(whole))
    return text


def existing_folder(data_dir: str | Path) -> Path:
    """Returns the folder as a path, or raises `FileNotFoundError`."""
    if not Path(data_dir).is_dir():
        what = "is not a folder" if Path(data_dir).exists() else "does not exist"
        raise FileNotFoundError(f"The data folder {data_dir} {what}: name it with `data_dir`.")
    return Path(data_dir)


def count_and_first(names: Collection[Any]) -> str:
    """Formats the number of names and the first five."""
    return f"{len(names)} (first: {', '.join(map(str, list(names)[:5]))})"


def check_names(images: pd.Series, patients: pd.Series, path: str | Path) -> None:
    """Raises `ValueError` on images that leave the folder, have no patient, or have more than one row."""
    outside = images[images.str.contains(OUTSIDE)]
    if len(outside):
        raise ValueError(
            f"{path} has image names that are empty or leave the data folder: {count_and_first(outside)}. They must be "
            "relative to `data_dir`."
        )
    nameless = images[(patients == "").to_numpy()]
    if len(nameless):
        raise ValueError(f"{path} has rows without a patient: {count_and_first(nameless)}.")
    twice = images[images.duplicated()].unique()
    if len(twice):
        raise ValueError(f"{path} has more than one row for the same image: {count_and_first(twice)}.")

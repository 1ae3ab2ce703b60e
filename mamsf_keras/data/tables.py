"""What every table of studies has in common: how it is read, how patients are written, what names are refused."""

import csv
import dataclasses
from pathlib import Path

import pandas as pd

from mamsf_keras.findings import FINDINGS

OUTSIDE = r"^$|^[/\\]|^[A-Za-z]:|(?:^|[/\\])\.\.(?:[/\\]|$)"
"""Names that are empty, absolute or climb out of the folder; lexical, on every system's separators."""


@dataclasses.dataclass(frozen=True)
class Studies:
    """The images of a data folder.

    Attributes:
        table: one row an image: `image` (name in the table), `patient`, `follow_up`, `age` (years, as written, or
            missing), `sex`, `view`, `official_part` ("train_val" or "test", empty where there is none), one column a
            finding (1, 0, or NaN where the label is missing), and `path` (the file) once the images have been found.
        findings: names of the finding columns, in output order.
        notes: what a person should know of the reading, one line each.
    """

    table: pd.DataFrame
    findings: tuple[str, ...] = FINDINGS
    notes: tuple[str, ...] = ()


def read_csv(path, required) -> pd.DataFrame:
    """Reads a CSV table as text, as people have it: byte-order mark, any line ends, a comma too many at row ends.

    Args:
        path: the file.
        required: names of columns that must be there.

    Returns:
        A frame of strings, one row a record.

    Raises:
        FileNotFoundError: names the file.
        ValueError: names the file and the line whose number of fields is not the header's, or the missing columns.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"The table {path} is no file.")
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


def patient_key(patient) -> str:
    """Returns one spelling of a patient id: "13" for 13, 13.0, "00000013"; the stripped text if it is no number."""
    text = str(patient).strip()
    whole, _, fraction = text.partition(".")
    if whole.isdecimal() and not fraction.strip("0"):
        return str(int(whole))
    return text


def existing_folder(data_dir) -> Path:
    """Returns the folder as a path, or raises `FileNotFoundError`."""
    if not Path(data_dir).is_dir():
        what = "is no folder" if Path(data_dir).exists() else "does not exist"
        raise FileNotFoundError(f"The data folder {data_dir} {what}: say where it is with --data-dir.")
    return Path(data_dir)


def count_and_first(names) -> str:
    """Writes how many names there are and the first five."""
    return f"{len(names)} (first: {', '.join(map(str, list(names)[:5]))})"


def check_names(images, patients, path):
    """Refuses images that leave the folder, have no patient, or stand in more than one row."""
    outside = images[images.str.contains(OUTSIDE)]
    if len(outside):
        raise ValueError(
            f"{path} has image names that are empty or leave the data folder: {count_and_first(outside)}. They must be "
            "relative to --data-dir."
        )
    nameless = images[(patients == "").to_numpy()]
    if len(nameless):
        raise ValueError(f"{path} has rows without a patient: {count_and_first(nameless)}.")
    twice = images[images.duplicated()].unique()
    if len(twice):
        raise ValueError(f"{path} has more than one row for the same image: {count_and_first(twice)}.")


def keep_found(studies: Studies, paths: pd.Series, data_dir, allow_missing: bool) -> Studies:
    """Adds the `path` of each image; NaN says that it is not there.

    Raises:
        ValueError: names the images that are not there, unless they are allowed to be missing and some are left.
    """
    absent, notes = paths.isna(), studies.notes
    if absent.any():
        first = ", ".join(studies.table["image"][absent].head(5))
        text = f"{int(absent.sum())} of {len(paths)} images of the table are not in {data_dir} (first: {first})"
        if absent.all():
            raise ValueError(f"{text}: none is there. The paths of the table must begin at --data-dir.")
        if not allow_missing:
            raise ValueError(f"{text}. Use --allow-missing (allow_missing=True) to go on without them.")
        notes += (f"{text}: they are left out.",)
    table = studies.table.assign(path=paths)[~absent].reset_index(drop=True)
    return dataclasses.replace(studies, table=table, notes=notes)

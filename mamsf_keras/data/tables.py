"""Functions for all tables: reading CSV files, normalizing patient IDs, and rejecting unsafe image names."""

import csv
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from mamsf_keras.findings import with_nearest

OUTSIDE = r"^$|^[/\\]|^[A-Za-z]:|(?:^|[/\\])\.\.(?:[/\\]|$)"
"""Matches names that are empty, absolute or outside the folder, with the path separators of every system."""

MISSING = {"", "#n/a", "#na", "-nan", "<na>", "n/a", "na", "nan", "nat", "none", "null"}
"""Spellings of a missing value, in lower case."""

SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}
"""Column separators of tables that are not CSV."""


def read_csv(path: str | Path, required: Iterable[str]) -> pd.DataFrame:
    """Reads a CSV table as text. Byte-order marks, any line endings and trailing commas are accepted.

    A quote that is not closed would take the rows after it into one field. So quotes must follow the rules of RFC 4180,
    and a quoted field may span lines only if none of these lines could be a row.

    Args:
        path: the file.
        required: names of columns that the table must have.

    Returns:
        A data frame of strings, one row per record. No text is interpreted as a missing value.

    Raises:
        FileNotFoundError: names the file.
        ValueError: names the file and the line whose quotes or number of fields are wrong, or the missing columns.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"The table {path} does not exist or is not a file.")
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            lines = file.readlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a CSV table in UTF-8: {error}.") from error
    records = _records(lines, path)
    if len(records) < 2:
        raise ValueError(f"{path} has no rows.")
    header = [name.strip() for name in records[0].fields]
    while header and not header[-1]:
        header.pop()
    check_columns(header, required, path)
    for record in records[1:]:
        _check_record(record, lines, len(header), path)
    rows = [[field.strip() for field in record.fields[: len(header)]] for record in records[1:]]
    return pd.DataFrame(rows, columns=header, dtype=str)


class Record(NamedTuple):
    """A record of a CSV file, with its first and last line, counted from 1."""

    first: int
    last: int
    fields: list[str]


def _records(lines: list[str], path) -> list[Record]:
    """Returns the records that are not blank."""
    _check_separator(lines, path)
    reader = csv.reader(lines, strict=True, skipinitialspace=True)
    records, first = [], 1
    try:
        for fields in reader:
            if any(fields):
                records.append(Record(first, reader.line_num, fields))
            first = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(
            f"{path} is not a CSV table, line {first}: {error}. A field that starts with a double quote must end with "
            "one, and quotes inside it must be doubled."
        ) from error
    return records


def _check_separator(lines, path):
    header = next((line for line in lines if line.strip()), "")
    for separator, name in SEPARATORS.items():
        if header.count(separator) > header.count(","):
            raise ValueError(f"{path} separates its columns with {name}. Save it as CSV, with commas.")


def _check_record(record: Record, lines: list[str], width: int, path):
    """Raises `ValueError` if a record has more or fewer fields than the header, or spans lines that look like rows."""
    for number in range(record.first + 1, record.last + 1):
        if len(next(csv.reader([lines[number - 1]], skipinitialspace=True), [])) >= width:
            raise ValueError(
                f"{path}, line {record.first}: a quoted field does not end until line {record.last}, and line {number} "
                "looks like a row. Close the quote, or write the field without line breaks."
            )
    found = len(record.fields)
    if found < width or any(field.strip() for field in record.fields[width:]):
        raise ValueError(f"{path}, line {record.first}: {found} fields, but the header has {width}.")


def check_columns(columns: Iterable[str], required: Iterable[str], path: str | Path) -> None:
    """Raises `ValueError` if a table lacks required columns, with the nearest names, or has one of them twice."""
    columns = list(columns)
    missing = [with_nearest(name, columns) for name in required if name not in columns]
    if missing:
        raise ValueError(f"{path} lacks the column(s) {', '.join(missing)}. Found: {', '.join(columns)}.")
    twice = sorted({name for name in required if columns.count(name) > 1})
    if twice:
        raise ValueError(f"{path} has the column(s) {', '.join(twice)} more than once.")


def read_list(path: str | Path) -> list[str]:
    """Reads a text file with one name per line. Blank lines are ignored.

    Raises:
        ValueError: if the file is not UTF-8.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text: {error}.") from error
    return [line.strip() for line in text.split("\n") if line.strip()]


def spells_missing(column: pd.Series) -> pd.Series:
    """Returns True where a text is blank or what other programs write for a missing value: NA, NaN, null, None."""
    return column.str.strip().str.lower().isin(MISSING)


def note_odd(what: str, written: pd.Series, values: pd.Series) -> tuple[str, ...]:
    """Returns a note that counts and names the cells without a value that are not spelled as missing, if any."""
    odd = written[values.isna() & ~spells_missing(written)]
    named = ", ".join(odd.unique()[:5])
    return (f"{what} that cannot be parsed and count as missing: {len(odd)} (such as {named})",) if len(odd) else ()


def patient_key(patient: object) -> str:
    """Returns one spelling of a patient ID: "13" for 13, 13.0, "00000013"; the stripped text if it is not a number."""
    text = str(patient).strip()
    whole, _, fraction = text.partition(".")
    if whole.isdecimal() and not fraction.strip("0"):
        return str(int(whole))
    return text


def existing_folder(data_dir: str | Path) -> Path:
    """Returns the folder as a path, or raises `FileNotFoundError`."""
    if not Path(data_dir).is_dir():
        what = "is not a folder" if Path(data_dir).exists() else "does not exist"
        raise FileNotFoundError(f"The data folder {data_dir} {what}. Set `data_dir` to an existing folder.")
    return Path(data_dir)


def count_and_first(names: Collection[Any]) -> str:
    """Formats the number of names and the first five."""
    first = [str(name) or "blank" for name in list(names)[:5]]
    return f"{len(names)} (first: {', '.join(first)})"


def check_names(images: pd.Series, patients: pd.Series, path: str | Path) -> None:
    """Raises `ValueError` if an image is outside the folder, has no patient, or has more than one row."""
    outside = images[images.str.contains(OUTSIDE)]
    if len(outside):
        raise ValueError(
            f"{path} has image names that are empty or outside the data folder: {count_and_first(outside)}. They must "
            "be relative to `data_dir`."
        )
    nameless = images[(patients == "").to_numpy()]
    if len(nameless):
        raise ValueError(f"{path} has rows without a patient: {count_and_first(nameless)}.")
    missing = spells_missing(patients).to_numpy()
    if missing.any():
        written = [f"{image} has {text}" for image, text in zip(images[missing], patients[missing], strict=True)]
        raise ValueError(
            f"{path} has patient IDs written as missing: {count_and_first(written)}. Give each patient an ID; "
            "otherwise several patients would count as one."
        )
    twice = images[images.duplicated()].unique()
    if len(twice):
        raise ValueError(f"{path} has more than one row for the same image: {count_and_first(twice)}.")

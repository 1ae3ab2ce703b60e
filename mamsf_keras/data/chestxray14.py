"""Reads the NIH ChestX-ray14 folder as it is downloaded: tables and image tree to one row an image."""

import os
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from mamsf_keras.data.image import SUFFIXES
from mamsf_keras.data.tables import (
    Studies,
    check_names,
    count_and_first,
    existing_folder,
    patient_key,
    read_csv,
)
from mamsf_keras.findings import BOX_FINDINGS, FINDINGS, NO_FINDING

TABLES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
LISTS = {"train_val": "train_val_list.txt", "test": "test_list.txt"}
BOXES = "BBox_List_2017.csv"


def read_tables(data_dir) -> Studies:
    """Reads the tables of an NIH folder without looking for its images.

    Raises:
        ValueError: says what is wrong with the tables, with counts and the first five names.
        FileNotFoundError: names the folder or table that is missing.
    """
    data_dir = existing_folder(data_dir)
    path = next((data_dir / name for name in TABLES if (data_dir / name).is_file()), None)
    if path is None:
        raise FileNotFoundError(
            f"{data_dir} has no table {TABLES[1]} (or {TABLES[0]}): --data-dir names the folder that has it, or "
            "--labels-csv another table."
        )
    raw = read_csv(path, required=("Image Index", "Finding Labels", "Patient ID"))
    table = pd.DataFrame(
        {
            "image": raw["Image Index"],
            "patient": raw["Patient ID"].map({text: patient_key(text) for text in raw["Patient ID"].unique()}),
        }
    )
    blank = pd.Series("", index=raw.index)
    table["follow_up"] = pd.to_numeric(raw.get("Follow-up #", blank), errors="coerce")
    table["age"] = pd.to_numeric(raw.get("Patient Age", blank).str.extract(r"(\d+)")[0], errors="coerce")
    table["sex"] = raw.get("Patient Gender", raw.get("Patient Sex", blank))
    table["view"] = raw.get("View Position", blank)
    check_names(table["image"], table["patient"], path)
    table["official_part"] = _official_parts(table["image"], data_dir, path)
    return Studies(pd.concat([table, _label_columns(raw["Finding Labels"], path)], axis=1))


def read_boxes(data_dir) -> pd.DataFrame:
    """Reads `BBox_List_2017.csv`.

    Returns:
        Frame with `image`, `finding` (one of `BOX_FINDINGS`; the list's "Infiltrate" is Infiltration), and `x`, `y`,
        `width`, `height` in pixels of the 1024 x 1024 image, (x, y) the upper left corner.
    """
    path = existing_folder(data_dir) / BOXES
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist.")
    raw = read_csv(path, required=("Image Index", "Finding Label"))
    finding = raw["Finding Label"].replace("Infiltrate", "Infiltration")
    unknown = sorted(set(finding) - set(BOX_FINDINGS))
    if unknown:
        raise ValueError(f"{path} has boxes of unknown findings: {', '.join(unknown)}.")
    boxes = raw.iloc[:, 2:6].apply(pd.to_numeric)
    boxes.columns = ["x", "y", "width", "height"]
    return pd.concat([raw["Image Index"].rename("image"), finding.rename("finding"), boxes], axis=1)


def find_by_name(studies: Studies, data_dir) -> tuple[pd.Series, tuple[str, ...]]:
    """Returns the file of each image, by base name, NaN where there is none; and notes."""
    files = _image_files(existing_folder(data_dir))
    images = studies.table["image"]
    paths = images.map(_index(files, lambda file: file.name, set(images)))
    stems = images[paths.isna()].map(lambda name: PurePosixPath(name).stem)
    by_stem = stems.map(_index(files, lambda file: file.stem, set(stems))).dropna()
    if by_stem.empty:
        return paths, ()
    note = f"{len(by_stem)} images have another suffix than the table says and were matched by their stem."
    return paths.fillna(by_stem), (note,)


def _label_columns(labels, path) -> pd.DataFrame:
    codes, texts = pd.factorize(labels)
    sets = [frozenset(name.strip() for name in text.split("|")) for text in texts]
    unknown = sorted(set().union(*sets) - {*FINDINGS, NO_FINDING})
    if unknown:
        known = ", ".join((*FINDINGS, NO_FINDING))
        rows = sum(not sets[code].isdisjoint(unknown) for code in codes)
        raise ValueError(f"{path} has unknown findings on {rows} rows: {count_and_first(unknown)}. Known: {known}.")
    mixed = [text for text, names in zip(texts, sets, strict=True) if NO_FINDING in names and len(names) > 1]
    if mixed:
        raise ValueError(f'{path} has rows with both a finding and "{NO_FINDING}": {count_and_first(mixed)}.')
    positive = np.array([[name in names for name in FINDINGS] for names in sets], dtype="int8")
    return pd.DataFrame(positive[codes], columns=list(FINDINGS))


def _official_parts(images, data_dir, path) -> pd.Series:
    listed = {}
    for part, name in LISTS.items():
        if not (data_dir / name).is_file():
            raise FileNotFoundError(f"{data_dir} lacks the official list {name}, which NIH gives with the tables.")
        names = _read_list(data_dir / name)
        twice = [image for image in names if listed.setdefault(image, part) != part]
        if twice:
            raise ValueError(
                f"{data_dir} lists images in both {' and '.join(LISTS.values())}: {count_and_first(twice)}."
            )
    parts = images.map(listed)
    if parts.isna().any():
        raise ValueError(f"{path} has images that neither official list has: {count_and_first(images[parts.isna()])}.")
    unknown = sorted(set(listed) - set(images))
    if unknown:
        raise ValueError(
            f"The official lists have images that {path} lacks: {count_and_first(unknown)}. Keep the tables whole: "
            "--allow-missing leaves out the images that are not there."
        )
    return parts


def _read_list(path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").split()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text: {error}.") from error


def _image_files(data_dir) -> list[Path]:
    roots = sorted(p for p in data_dir.glob("images*") if p.is_dir()) or [data_dir]
    files, seen, folders = [], set(), [str(root) for root in reversed(roots)]
    while folders:
        folder = folders.pop()
        real = os.path.realpath(folder)
        if real in seen:  # a symbolic link back up the tree
            continue
        seen.add(real)
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        folders += [entry.path for entry in reversed(entries) if entry.is_dir()]
        images = [entry for entry in entries if os.path.splitext(entry.name)[1].lower() in SUFFIXES]
        files += [Path(entry.path) for entry in images if entry.is_file()]  # a link to nowhere is none
    return files


def _index(files, key, wanted) -> dict[str, str]:
    """Maps the wanted keys to their files; two files of one key is an error that names both."""
    index = {}
    for file in files:
        first = index.setdefault(key(file), str(file))
        if first != str(file) and key(file) in wanted:
            raise ValueError(f"Two files have the name of one image: {first} and {file}.")
    return index

"""Reads NIH ChestX-ray14 as it is downloaded.

The data set: 112,120 frontal chest X-rays of 30,805 patients with 14 findings, mined from radiology reports.
Wang, Peng, Lu, Lu, Bagheri and Summers: ChestX-ray8: Hospital-scale Chest X-ray Database and Benchmarks on
Weakly-Supervised Classification and Localization of Common Thorax Diseases, CVPR 2017, arXiv 1705.02315.
Released by the NIH Clinical Center without restriction on use; it asks users to name it as the provider, to link to its
download site (https://nihcc.app.box.com/v/ChestXray-NIHCC) and to cite the paper.

The folder holds `Data_Entry_2017.csv` (or `_v2020`), `train_val_list.txt`, `test_list.txt`, and the images, found by
their base name under `images*/` at any depth, or anywhere below the folder if there is no such subfolder.
"""

import os
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from mamsf_keras.config import DataConfig
from mamsf_keras.data.ages import read_ages
from mamsf_keras.data.dataset import Dataset
from mamsf_keras.data.image_files import ImageFiles
from mamsf_keras.data.tables import (
    check_names,
    count_and_first,
    existing_folder,
    note_odd,
    patient_key,
    read_csv,
    read_list,
)
from mamsf_keras.findings import FINDINGS, NO_FINDING, find_name, with_nearest
from mamsf_keras.images.grey import SUFFIXES
from mamsf_keras.storage import may_be_file

TABLES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
LISTS = {"train_val": "train_val_list.txt", "test": "test_list.txt"}
ARCHIVES = (".tar.gz", ".tgz", ".tar", ".zip")


def recognizes(config: DataConfig) -> bool:
    """Returns True. This reader is tried last, and its errors describe what a data folder needs."""
    return True


def read(config: DataConfig) -> Dataset:
    """Reads the tables. The images are looked up later, by base name.

    Raises:
        ValueError: describes what is wrong with the tables, with counts and the first five names.
        FileNotFoundError: names the folder or table that is missing.
    """
    data_dir = existing_folder(config.data_dir)
    path = next((data_dir / name for name in TABLES if (data_dir / name).is_file()), None)
    if path is None:
        raise FileNotFoundError(
            f"{data_dir} has no table {TABLES[1]} (or {TABLES[0]}). `data_dir` must be the folder that contains it. "
            "For another table, use `labels_csv`."
        )
    store = ImageFiles(data_dir, find_images, config.allow_missing, explain_absent)
    sources = (path, *(data_dir / name for name in LISTS.values()))
    table, notes = _read_table(path)
    return Dataset(table, FINDINGS, store, notes=notes, sources=sources)


def _read_table(path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Returns the table of a `Dataset`, and notes."""
    raw = read_csv(path, required=("Image Index", "Finding Labels", "Patient ID"))
    table = pd.DataFrame(
        {
            "image": raw["Image Index"],
            "patient": raw["Patient ID"].map({text: patient_key(text) for text in raw["Patient ID"].unique()}),
        }
    )
    blank = pd.Series("", index=raw.index)
    follow_up = raw.get("Follow-up #", blank)
    table["follow_up"] = pd.to_numeric(follow_up, errors="coerce")
    table["age"], notes = read_ages(raw.get("Patient Age", blank))
    notes += note_odd("follow-up numbers", follow_up, table["follow_up"])
    table["sex"] = raw.get("Patient Gender", raw.get("Patient Sex", blank))
    table["view"] = raw.get("View Position", blank)
    check_names(table["image"], table["patient"], path)
    table["official_list"] = _official_lists(table["image"], path)
    return pd.concat([table, _label_columns(raw["Finding Labels"], path)], axis=1), notes


def explain_absent(images: pd.Series, data_dir: str | Path) -> tuple[str, ...]:
    """Names the archives in the data folder, in which absent images may still be packed."""
    names = sorted(path.name for path in Path(data_dir).iterdir() if path.name.endswith(ARCHIVES))
    if not names:
        return ()
    return (f"The images may still be packed. Unpack the archives in {data_dir}: {count_and_first(names)}.",)


def find_images(images: pd.Series, data_dir: str | Path) -> tuple[pd.Series, tuple[str, ...]]:
    """Finds the file of each image by base name, or else by its name without the suffix.

    Args:
        images: names of the images in the table.
        data_dir: the data folder.

    Returns:
        The path of each image, NaN where there is none, and notes.

    Raises:
        ValueError: if two files have the name of one image.
    """
    files = _image_files(Path(data_dir))
    paths = images.map(_index(files, lambda file: file.name, set(images)))
    stems = images[paths.isna()].map(lambda name: PurePosixPath(name).stem)
    by_stem = stems.map(_index(files, lambda file: file.stem, set(stems))).dropna()
    if by_stem.empty:
        return paths, ()
    note = f"{len(by_stem)} images have a different suffix than in the table and were matched by name without suffix."
    return paths.fillna(by_stem), (note,)


def _label_columns(labels, path) -> pd.DataFrame:
    codes, texts = pd.factorize(labels)
    known = (*FINDINGS, NO_FINDING)
    spelled = {name: find_name(name, known) for text in texts for name in map(str.strip, text.split("|"))}
    sets = [frozenset(spelled[name.strip()] for name in text.split("|")) for text in texts]
    unknown = [with_nearest(name, known) for name in sorted(spelled) if spelled[name] is None]
    if unknown:
        rows = sum(None in sets[code] for code in codes)
        raise ValueError(
            f"{path} has unknown findings in {rows} rows: {count_and_first(unknown)}. Known: {', '.join(known)}."
        )
    mixed = [text for text, names in zip(texts, sets, strict=True) if NO_FINDING in names and len(names) > 1]
    if mixed:
        raise ValueError(f'{path} has rows with both a finding and "{NO_FINDING}": {count_and_first(mixed)}.')
    positive = np.array([[name in names for name in FINDINGS] for names in sets], dtype="int8")
    return pd.DataFrame(positive[codes], columns=list(FINDINGS))


def _official_lists(images, path) -> pd.Series:
    """Returns the official list of each image, "train_val" or "test"."""
    data_dir = path.parent
    listed: dict[str, str] = {}
    for name, file in LISTS.items():
        if not (data_dir / file).is_file():
            raise FileNotFoundError(f"{data_dir} lacks the official list {file}, which NIH provides with the tables.")
        twice = [image for image in read_list(data_dir / file) if listed.setdefault(image, name) != name]
        if twice:
            raise ValueError(
                f"{data_dir} lists images in both {' and '.join(LISTS.values())}: {count_and_first(twice)}."
            )
    lists = images.map(listed)
    if lists.isna().any():
        raise ValueError(f"{path} has images that are in neither list: {count_and_first(images[lists.isna()])}.")
    unknown = sorted(set(listed) - set(images))
    if unknown:
        raise ValueError(
            f"The official lists contain images that are not in {path}: {count_and_first(unknown)}. Keep the "
            "tables complete; `allow_missing` leaves out images whose files are missing."
        )
    return lists


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
        # Only links are looked up: a stat of each of 112,120 files takes long. A dangling link is neither kind.
        folders += [e.path for e in reversed(entries) if e.is_dir(follow_symlinks=False) or _links_to_folder(e)]
        images = [entry for entry in entries if os.path.splitext(entry.name)[1].lower() in SUFFIXES]
        files += [Path(e.path) for e in images if e.is_file(follow_symlinks=False) or may_be_file(e)]
    return files


def _links_to_folder(entry) -> bool:
    return entry.is_symlink() and os.path.isdir(entry)


def _index(files, key, wanted) -> dict[str, str]:
    """Maps keys to files. Two files with one wanted key are an error that names both."""
    index: dict[str, str] = {}
    for file in files:
        first = index.setdefault(key(file), str(file))
        if first != str(file) and key(file) in wanted:
            raise ValueError(f"Two files have the same image name: {first} and {file}.")
    return index

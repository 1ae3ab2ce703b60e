"""Patient-disjoint splits into train, validation and test, and the check that they are disjoint."""

import dataclasses
import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from mamsf_keras.config import PROTOCOLS, SPLITS
from mamsf_keras.data.dataset import Dataset
from mamsf_keras.data.equal_images import note_equal_images_across_splits
from mamsf_keras.data.tables import count_and_first, patient_key, read_csv
from mamsf_keras.findings import FINDINGS, NO_FINDING, is_no_finding

FRACTIONS = {"validation": 0.1, "test": 0.2, "train": 0.7}
"""The splits of `random_patient_split`, as fractions of the patients."""


def official_split(table: pd.DataFrame, findings: Sequence[str] = FINDINGS) -> np.ndarray:
    """Splits by the official NIH lists; the validation split is taken from `train_val_list.txt`, by patient.

    Each train_val patient is in the stratum of their rarest finding (the one with the fewest positive images in the
    whole table), or in that of "No Finding". Of these n patients, round(n / 10) go to validation, distributed among the
    strata by largest remainder: each stratum of m patients gets m // 10, and those with the largest m % 10 get one more
    each. Ties go to the rarer finding. In each stratum, the first patients in the order of the SHA-256 of the patient
    ID as text go to validation. The result depends neither on a seed nor on the machine.

    Args:
        table: one row per image, with the columns `patient`, `official_list` ("train_val" or "test") and one
            0/1 column per finding.
        findings: names of the finding columns.

    Returns:
        Array of one of "train", "validation", "test" for each row.
    """
    splits = np.where(table["official_list"] == "test", "test", "train").astype(object)
    keys = table["patient"].map(patient_key)
    strata = _strata(table, keys, findings)
    seats = _tenths([len(patients) for patients in strata])
    chosen = {patient for ids, n in zip(strata, seats, strict=True) for patient in sorted(ids, key=_hash)[:n]}
    splits[(keys.isin(chosen) & (splits == "train")).to_numpy()] = "validation"
    return splits


def _tenths(sizes: list[int]) -> list[int]:
    """Distributes a tenth of the sum of some sizes among them by largest remainder; ties go to the first."""
    by_remainder = sorted(range(len(sizes)), key=lambda i: -(sizes[i] % 10))
    extra = by_remainder[: round(sum(sizes) / 10) - sum(size // 10 for size in sizes)]
    return [size // 10 + (i in extra) for i, size in enumerate(sizes)]


def _strata(table, keys, findings) -> list[list[str]]:
    """Returns the train_val patients of each stratum, a patient's rarest finding by whole-table count, rarest first."""
    rarest_first = table[list(findings)].sum().sort_values(kind="stable").index
    rows = (table["official_list"] == "train_val").to_numpy()
    positive = table.loc[rows, rarest_first].groupby(keys[rows]).max()
    has_any = positive.max(axis=1) > 0
    stratum = positive.idxmax(axis=1).where(has_any, NO_FINDING)
    return [list(stratum.index[stratum == name]) for name in (*rarest_first, NO_FINDING)]


def random_patient_split(table: pd.DataFrame, findings: Sequence[str] = FINDINGS) -> np.ndarray:
    """Splits the patients 70/10/20, each finding as evenly as its patients allow.

    Iterative stratification (Sechidis, Tsoumakas and Vlahavas, ECML PKDD 2011) over patients: for each finding, the
    rarest first, each of its patients goes to the split that has the smallest share of what it should get; patients
    without any finding come last. A finding with at least three patients, none of whom has a rarer finding, is in each
    split. Patients are taken in the order of the SHA-256 of their ID, so the result depends neither on a seed nor on
    the machine.

    Args:
        table: one row per image, with the column `patient` and one column per finding: 1, 0, or NaN where missing.
        findings: names of the finding columns.

    Returns:
        Array of one of "train", "validation", "test" for each row.
    """
    keys = table["patient"].map(patient_key)
    has = table[list(findings)].eq(1).groupby(keys).any()
    has = has.loc[sorted(has.index, key=_hash), has.sum().sort_values(kind="stable").index].assign(**{"": True})
    flags, names = has.to_numpy(), list(FRACTIONS)
    share = np.array(list(FRACTIONS.values()))[:, None] * flags.sum(axis=0)
    held, chosen = np.zeros(share.shape), np.full(len(flags), -1)
    for column in np.flatnonzero(flags.any(axis=0)):
        for patient in np.flatnonzero(flags[:, column] & (chosen < 0)):
            chosen[patient] = np.argmin(held[:, column] / share[:, column])
            held[chosen[patient]] += flags[patient]
    return keys.map(dict(zip(has.index, np.array(names, dtype=object)[chosen], strict=True))).to_numpy()


def disease_only_split(table: pd.DataFrame, findings: Sequence[str] = FINDINGS) -> np.ndarray:
    """Leaves out the images without any finding (split "") and splits the others as `random_patient_split` does.

    Use it only for comparison with papers that do the same: the scores are not those of a realistic population.
    """
    diseases = [name for name in findings if not is_no_finding(name)]
    kept = table[diseases].eq(1).any(axis=1).to_numpy()
    splits = np.full(len(table), "", dtype=object)
    splits[kept] = random_patient_split(table[kept], findings)
    return splits


def listed_split(table: pd.DataFrame, path: str | Path) -> np.ndarray:
    """Splits by a CSV file with the columns `image` and `split`. Images that it does not list get the split "".

    Raises:
        ValueError: if it lists an image twice, an image that the table lacks, or an unknown split.
    """
    listed = read_csv(path, required=("image", "split"))
    unknown = sorted(set(listed["split"]) - set(SPLITS))
    if unknown:
        raise ValueError(
            f"{path}: the column split must be one of {', '.join(SPLITS)}. Found: {count_and_first(unknown)}."
        )
    twice = listed["image"][listed["image"].duplicated()].unique()
    if len(twice):
        raise ValueError(f"{path} lists images more than once: {count_and_first(twice)}.")
    missing = sorted(set(listed["image"]) - set(table["image"]))
    if missing:
        raise ValueError(f"{path} lists images that are not in the table: {count_and_first(missing)}.")
    return table["image"].map(dict(zip(listed["image"], listed["split"], strict=True))).fillna("").to_numpy()


def assign_splits(dataset: Dataset, protocol: str) -> Dataset:
    """Splits a data set by a protocol: fills the column `split` and notes what the protocol leaves out.

    The split depends only on the tables, not on which images exist. With a cache, which has hashes of the pixels,
    images with equal pixels in two splits are noted.

    Args:
        dataset: the data set.
        protocol: "official", "random-patient", "disease-only" or "file:PATH".

    Raises:
        ValueError: if the protocol is unknown, a split is empty, or a patient is in two splits.
    """
    splits = split_table(dataset.table, dataset.findings, protocol)
    table = dataset.table.assign(split=splits)
    notes: tuple[str, ...] = ()
    if left_out := int((splits == "").sum()):
        notes += (f"images left out by the {protocol} protocol: {left_out}",)
    if "sha256" in table:
        notes += note_equal_images_across_splits(table)
    return dataclasses.replace(dataset, table=table, protocol=protocol, split_notes=notes)


def split_table(table: pd.DataFrame, findings: Sequence[str] = FINDINGS, protocol: str = "official") -> np.ndarray:
    """Splits a table by a protocol, and checks that no split is empty and no patient is in two splits.

    Args:
        table: the table of a `Dataset`.
        findings: names of the finding columns.
        protocol: "official", "random-patient", "disease-only" or "file:PATH".

    Returns:
        Array of "train", "validation" or "test" for each row, "" for those that are left out.

    Raises:
        ValueError: if the protocol is unknown, a split is empty, or a patient is in two splits.
    """
    splits = _splits(table, findings, protocol)
    for name in SPLITS:
        if not (splits == name).any():
            raise ValueError(
                f"The {protocol} protocol puts none of the {len(table)} images into the {name} split. Use more images: "
                "each official list must have some, or about ten patients must have the same finding (or none)."
            )
    shared = overlap(table["patient"], splits)
    if any(shared.values()):
        found = ", ".join(f"{n} in {a} and {b}" for (a, b), n in shared.items() if n)
        raise ValueError(f"Patients must not be in two splits. Found: {found}.")
    return splits


def _splits(table, findings, protocol) -> np.ndarray:
    if protocol.startswith("file:"):
        return listed_split(table, protocol.removeprefix("file:"))
    if protocol == "random-patient":
        return random_patient_split(table, findings)
    if protocol == "disease-only":
        return disease_only_split(table, findings)
    if protocol != "official":
        raise ValueError(
            f"`protocol` must be one of {', '.join(PROTOCOLS)} or file:PATH. Received: protocol={protocol}."
        )
    if (table["official_list"] == "").any():
        raise ValueError("Only the NIH tables have an official split. Use `protocol` random-patient or file:PATH.")
    return official_split(table, findings)


def _hash(patient) -> str:
    return hashlib.sha256(patient.encode()).hexdigest()


def overlap(patients: Iterable[Any], splits: ArrayLike) -> dict[tuple[str, str], int]:
    """Counts the patients that two splits share, for each pair of splits."""
    keys, splits = pd.Series(list(patients)).map(patient_key), np.asarray(splits)
    members = {name: set(keys[splits == name]) for name in SPLITS}
    pairs = [(a, b) for i, a in enumerate(SPLITS) for b in SPLITS[i + 1 :]]
    return {(a, b): len(members[a] & members[b]) for a, b in pairs}


def split_counts(table: pd.DataFrame, findings: Sequence[str] = FINDINGS) -> pd.DataFrame:
    """Counts images, patients and positives of each finding: one column per split, and one for all.

    Unless the table has the finding "No Finding", a row of this name counts the images whose labels are all negative.
    It ignores findings without any label.
    """
    used = table[table["split"] != ""]
    labeled = [name for name in findings if used[name].notna().any()]
    columns = {name: _counts(used[used["split"] == name], findings, labeled) for name in SPLITS}
    return pd.DataFrame({**columns, "all": _counts(used, findings, labeled)})


def overlap_line(table: pd.DataFrame) -> str:
    """Formats the number of patients that each pair of splits shares."""
    shared = overlap(table["patient"], table["split"])
    return "patient overlap: " + ", ".join(f"{a}/{b} {n}" for (a, b), n in shared.items())


def split_summary(table: pd.DataFrame, findings: Sequence[str] = FINDINGS) -> str:
    """Formats the counts of `split_counts` and the patient overlap."""
    return f"{split_counts(table, findings).to_string()}\n{overlap_line(table)}"


def _counts(rows, findings, labeled) -> dict:
    """Counts the positives of each finding, with the number of labeled images where labels are missing."""
    labels = rows[list(findings)]
    counts = {"images": len(rows), "patients": rows["patient"].map(patient_key).nunique()}
    if not any(is_no_finding(name) for name in findings):
        counts[NO_FINDING] = int(labels[labeled].eq(0).all(axis=1).sum()) if labeled else 0
    for name in findings:
        positive, observed = int(labels[name].eq(1).sum()), int(labels[name].notna().sum())
        counts[name] = str(positive) if observed == len(rows) else f"{positive} of {observed}"
    return counts

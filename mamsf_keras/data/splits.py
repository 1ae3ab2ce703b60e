"""Patient-disjoint splits into train, validation and test, and the proof that they are."""

import hashlib

import numpy as np
import pandas as pd

from mamsf_keras.config import CHOICES, PARTS
from mamsf_keras.findings import FINDINGS, NO_FINDING


def patient_key(patient) -> str:
    """Returns one spelling of a patient id: "13" for 13, 13.0, "00000013"; the stripped text if it is no number."""
    text = str(patient).strip()
    whole, _, fraction = text.partition(".")
    if whole.isdecimal() and not fraction.strip("0"):
        return str(int(whole))
    return text


def official_split(studies: pd.DataFrame, findings=FINDINGS) -> np.ndarray:
    """Splits by the official NIH lists; the validation part is cut out of `train_val_list.txt` by patient.

    Each patient of train_val belongs to the stratum of the finding that is the patient's rarest, by its number of
    positive images in the whole table, or to "No Finding". In each stratum the first `round(n / 10)` of the n
    patients, in the order of the SHA-256 of the patient id as text, are validation. The result depends neither on
    a seed nor on the machine.

    Args:
        studies: one row an image, with the columns `patient`, `official_part` ("train_val" or "test") and one
            0/1 column a finding.
        findings: names of the finding columns.

    Returns:
        Array of one of "train", "validation", "test" for each row.
    """
    part = np.where(studies["official_part"] == "test", "test", "train").astype(object)
    keys = studies["patient"].map(patient_key)
    for patients in _strata(studies, keys, findings).values():
        chosen = sorted(patients, key=lambda key: hashlib.sha256(key.encode()).hexdigest())
        part[(keys.isin(chosen[: round(len(patients) / 10)]) & (part == "train")).to_numpy()] = "validation"
    return part


def _strata(studies, keys, findings) -> dict[str, list[str]]:
    """Returns the train_val patients of each stratum: a patient's rarest finding by whole-table count."""
    rarest_first = studies[list(findings)].sum().sort_values(kind="stable").index
    rows = (studies["official_part"] == "train_val").to_numpy()
    positive = studies.loc[rows, rarest_first].groupby(keys[rows]).max()
    has_any = positive.max(axis=1) > 0
    stratum = positive.idxmax(axis=1).where(has_any, NO_FINDING)
    return {name: list(group.index) for name, group in stratum.groupby(stratum)}


def split(studies: pd.DataFrame, findings=FINDINGS, protocol: str = "official") -> np.ndarray:
    """Splits the studies by a named protocol and refuses a split that is empty or shares a patient.

    Args:
        studies: the table of `read_studies`.
        findings: names of the finding columns.
        protocol: "official".

    Returns:
        Array of one of "train", "validation", "test" for each row.

    Raises:
        ValueError: on an unknown protocol, an empty part, or a patient in two parts.
    """
    if protocol not in CHOICES["protocol"]:
        raise ValueError(f"`protocol` must be one of {', '.join(CHOICES['protocol'])}. Received: {protocol}.")
    part = official_split(studies, findings)
    for name in PARTS:
        if not (part == name).any():
            raise ValueError(
                f"The {protocol} split of {len(studies)} images leaves the {name} part empty. It needs images in "
                "both official lists, and about ten patients of one finding (or without any) in train_val."
            )
    shared = overlap(studies["patient"], part)
    if any(shared.values()):
        found = ", ".join(f"{n} in {a} and {b}" for (a, b), n in shared.items() if n)
        raise ValueError(f"Patients must not be shared between the parts. Found: {found}.")
    return part


def overlap(patients, part) -> dict[tuple[str, str], int]:
    """Counts the patients that two parts share, for each pair of parts."""
    keys = pd.Series(list(patients)).map(patient_key)
    members = {name: set(keys[part == name]) for name in PARTS}
    pairs = [(a, b) for i, a in enumerate(PARTS) for b in PARTS[i + 1 :]]
    return {(a, b): len(members[a] & members[b]) for a, b in pairs}


def split_table(studies: pd.DataFrame, part: np.ndarray, findings=FINDINGS) -> str:
    """Returns the printed table of a split: images, patients, positives a finding, and the patient overlap."""
    names = list(findings)
    columns = {}
    for name in PARTS:
        rows = studies[part == name]
        columns[name] = {
            "images": len(rows),
            "patients": rows["patient"].nunique(),
            NO_FINDING: int((rows[names].sum(axis=1) == 0).sum()),
            **{finding: int(rows[finding].sum()) for finding in names},
        }
    table = pd.DataFrame(columns)
    table["all"] = table.sum(axis=1)
    table.loc["patients", "all"] = studies["patient"].nunique()
    shared = overlap(studies["patient"], part)
    counts = ", ".join(f"{a}/{b} {n}" for (a, b), n in shared.items())
    return f"{table.to_string()}\npatient overlap: {counts}"

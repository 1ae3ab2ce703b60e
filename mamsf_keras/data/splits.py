"""Patient-disjoint splits into train, validation and test, and the proof that they are."""

import hashlib

import numpy as np
import pandas as pd

from mamsf_keras.config import PARTS, PROTOCOLS
from mamsf_keras.data.tables import count_and_first, patient_key, read_csv
from mamsf_keras.findings import FINDINGS, NO_FINDING

FRACTIONS = {"validation": 0.1, "test": 0.2, "train": 0.7}
"""Parts of `random_patient_split`, as fractions of the patients."""


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
        chosen = sorted(patients, key=_hash)
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


def random_patient_split(studies: pd.DataFrame, findings=FINDINGS) -> np.ndarray:
    """Splits the patients 70/10/20, every finding as evenly as its patients allow.

    Iterative stratification (Sechidis, Tsoumakas and Vlahavas, ECML PKDD 2011) over patients: finding after finding,
    the rarest first, each patient with it goes to the part that has the least of its share of them; then those without
    any. A finding of three patients or more, none of whom has a rarer one, is in each part. The order of the patients
    is that of the SHA-256 of their id, so the result depends neither on a seed nor on the machine.

    Args:
        studies: one row an image, with the column `patient` and one column a finding: 1, 0, or NaN where missing.
        findings: names of the finding columns.

    Returns:
        Array of one of "train", "validation", "test" for each row.
    """
    keys = studies["patient"].map(patient_key)
    has = studies[list(findings)].eq(1).groupby(keys).any()
    has = has.loc[sorted(has.index, key=_hash), has.sum().sort_values(kind="stable").index].assign(**{"": True})
    flags, names = has.to_numpy(), list(FRACTIONS)
    share = np.array(list(FRACTIONS.values()))[:, None] * flags.sum(axis=0)
    held, chosen = np.zeros(share.shape), np.full(len(flags), -1)
    for column in np.flatnonzero(flags.any(axis=0)):
        for patient in np.flatnonzero(flags[:, column] & (chosen < 0)):
            chosen[patient] = np.argmin(held[:, column] / share[:, column])
            held[chosen[patient]] += flags[patient]
    return keys.map(dict(zip(has.index, np.array(names, dtype=object)[chosen], strict=True))).to_numpy()


def disease_only_split(studies: pd.DataFrame, findings=FINDINGS) -> np.ndarray:
    """Leaves out the images without any finding, part "", and splits the rest as `random_patient_split`.

    For comparison with papers that do so: their scores are not those of a population.
    """
    diseases = [name for name in findings if name != NO_FINDING]
    kept = studies[diseases].eq(1).any(axis=1).to_numpy()
    part = np.full(len(studies), "", dtype=object)
    part[kept] = random_patient_split(studies[kept], findings)
    return part


def listed_split(studies: pd.DataFrame, path) -> np.ndarray:
    """Splits by a CSV file with the columns `image` and `split`; images that it does not list are part "".

    Raises:
        ValueError: if it lists an image twice or one that the studies lack, or a split that is no part.
    """
    listed = read_csv(path, required=("image", "split"))
    unknown = sorted(set(listed["split"]) - set(PARTS))
    if unknown:
        raise ValueError(f"{path}: `split` must be one of {', '.join(PARTS)}. Found: {count_and_first(unknown)}.")
    twice = listed["image"][listed["image"].duplicated()].unique()
    if len(twice):
        raise ValueError(f"{path} lists images more than once: {count_and_first(twice)}.")
    absent = sorted(set(listed["image"]) - set(studies["image"]))
    if absent:
        raise ValueError(f"{path} lists images that the table lacks: {count_and_first(absent)}.")
    return studies["image"].map(dict(zip(listed["image"], listed["split"], strict=True))).fillna("").to_numpy()


def split(studies: pd.DataFrame, findings=FINDINGS, protocol: str = "official") -> np.ndarray:
    """Splits the studies by a named protocol and refuses a split that is empty or shares a patient.

    Args:
        studies: the table of `read_tables`.
        findings: names of the finding columns.
        protocol: "official", "random-patient", "disease-only" or "file:PATH".

    Returns:
        Array of one of "train", "validation", "test" for each row, "" for those that are left out.

    Raises:
        ValueError: on an unknown protocol, an empty part, or a patient in two parts.
    """
    part = _part(studies, findings, protocol)
    for name in PARTS:
        if not (part == name).any():
            raise ValueError(
                f"The {protocol} split of {len(studies)} images leaves the {name} part empty. It needs images in each "
                "list, or about ten patients of one finding (or without any) to cut a part out of."
            )
    shared = overlap(studies["patient"], part)
    if any(shared.values()):
        found = ", ".join(f"{n} in {a} and {b}" for (a, b), n in shared.items() if n)
        raise ValueError(f"Patients must not be shared between the parts. Found: {found}.")
    return part


def _part(studies, findings, protocol) -> np.ndarray:
    if protocol.startswith("file:"):
        return listed_split(studies, protocol.removeprefix("file:"))
    if protocol == "random-patient":
        return random_patient_split(studies, findings)
    if protocol == "disease-only":
        return disease_only_split(studies, findings)
    if protocol != "official":
        raise ValueError(f"`protocol` must be one of {', '.join(PROTOCOLS)} or file:PATH. Received: {protocol}.")
    if (studies["official_part"] == "").any():
        raise ValueError("Only the NIH tables have an official split: use --protocol random-patient or file:PATH.")
    return official_split(studies, findings)


def _hash(patient) -> str:
    return hashlib.sha256(patient.encode()).hexdigest()


def overlap(patients, part) -> dict[tuple[str, str], int]:
    """Counts the patients that two parts share, for each pair of parts."""
    keys = pd.Series(list(patients)).map(patient_key)
    members = {name: set(keys[part == name]) for name in PARTS}
    pairs = [(a, b) for i, a in enumerate(PARTS) for b in PARTS[i + 1 :]]
    return {(a, b): len(members[a] & members[b]) for a, b in pairs}


def split_counts(studies: pd.DataFrame, part: np.ndarray, findings=FINDINGS) -> pd.DataFrame:
    """Counts images, patients and positives of each finding, a column a part and one of all."""
    columns = {name: _counts(studies[part == name], findings) for name in PARTS}
    return pd.DataFrame({**columns, "all": _counts(studies[part != ""], findings)})


def overlap_line(studies: pd.DataFrame, part: np.ndarray) -> str:
    """Writes how many patients each pair of parts shares."""
    shared = overlap(studies["patient"], part)
    return "patient overlap: " + ", ".join(f"{a}/{b} {n}" for (a, b), n in shared.items())


def split_table(studies: pd.DataFrame, part: np.ndarray, findings=FINDINGS) -> str:
    """Returns the printed table of a split: images, patients, positives a finding, and the patient overlap."""
    return f"{split_counts(studies, part, findings).to_string()}\n{overlap_line(studies, part)}"


def _counts(rows, findings) -> dict:
    """Counts a part: positives of each finding, and of how many labelled images where labels are missing."""
    labels = rows[list(findings)]
    counts = {"images": len(rows), "patients": rows["patient"].map(patient_key).nunique()}
    if NO_FINDING not in findings:
        counts[NO_FINDING] = int(labels.eq(0).all(axis=1).sum())
    for name in findings:
        positive, observed = int(labels[name].eq(1).sum()), int(labels[name].notna().sum())
        counts[name] = str(positive) if observed == len(rows) else f"{positive} of {observed}"
    return counts

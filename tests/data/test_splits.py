import hashlib

import numpy as np
import pandas as pd
import pytest

from mamsf_keras.data.chestxray14 import read_tables
from mamsf_keras.data.splits import official_split, overlap, patient_key, split, split_table
from mamsf_keras.findings import FINDINGS

pytestmark = pytest.mark.no_keras


def studies(rows):
    """A table of (patient, labels, official part)."""
    table = pd.DataFrame({"patient": [row[0] for row in rows], "official_part": [row[2] for row in rows]})
    for name in FINDINGS:
        table[name] = [int(name in row[1]) for row in rows]
    return table


def validation_by_hand(table):
    """The rule of the docstring, in plain Python over dictionaries."""
    counts = {name: int(table[name].sum()) for name in FINDINGS}
    found = {}
    for row in table[table["official_part"] == "train_val"].to_dict("records"):
        found.setdefault(str(int(row["patient"])), set()).update(name for name in FINDINGS if row[name])
    strata = {}
    for patient, names in found.items():
        strata.setdefault(min(names, key=counts.get) if names else "No Finding", []).append(patient)
    chosen = set()
    for patients in strata.values():
        patients.sort(key=lambda patient: hashlib.sha256(patient.encode()).hexdigest())
        chosen.update(patients[: round(len(patients) / 10)])
    return chosen


def test_official_split_is_the_written_rule(nih_dir):
    table = read_tables(nih_dir).table
    part = official_split(table)
    chosen = set(table["patient"][part == "validation"].map(patient_key))
    assert chosen == validation_by_hand(table) and len(chosen) > 100
    assert ((part == "test") == (table["official_part"] == "test")).all()


def test_official_split_depends_neither_on_row_order_nor_on_how_ids_are_written(nih_dir):
    table = read_tables(nih_dir).table
    part = official_split(table)
    order = np.random.default_rng(0).permutation(len(table))
    shuffled = table.iloc[order].assign(patient=lambda t: t["patient"].map(lambda p: f"{int(p):08d}"))
    assert (official_split(shuffled) == part[order]).all()


@pytest.mark.parametrize(
    ("written", "key"),
    [(13, "13"), (13.0, "13"), ("00000013", "13"), ("13.0", "13"), (" 13 ", "13"), ("P13", "P13"), ("1.5", "1.5")],
)
def test_patient_key(written, key):
    assert patient_key(written) == key


def test_shared_patient_is_refused():
    rows = [(p, ["Mass"] if p % 2 else [], "train_val") for p in range(40)] + [("00000007", [], "test")]
    with pytest.raises(ValueError, match="must not be shared .* 1 in (train|validation) and test"):
        split(studies(rows))


def test_empty_part_and_unknown_protocol_are_refused():
    with pytest.raises(ValueError, match="leaves the validation part empty"):
        split(studies([(1, [], "train_val"), (2, [], "test")]))
    with pytest.raises(ValueError, match="`protocol` must be one of official. Received: random."):
        split(studies([(1, [], "train_val")]), protocol="random")


def test_overlap_and_table_by_hand():
    table = studies([(1, ["Mass"], "train_val"), (2, [], "train_val"), (2, [], "train_val"), (3, ["Mass"], "test")])
    part = np.array(["train", "train", "validation", "test"], dtype=object)
    assert overlap(table["patient"], part) == {
        ("train", "validation"): 1,
        ("train", "test"): 0,
        ("validation", "test"): 0,
    }
    lines = split_table(table, part).splitlines()
    assert lines[1].split() == ["images", "2", "1", "1", "4"]
    assert lines[2].split() == ["patients", "2", "1", "1", "3"]
    assert lines[3].split() == ["No", "Finding", "1", "1", "0", "2"]
    assert next(line for line in lines if line.startswith("Mass")).split() == ["Mass", "1", "0", "1", "2"]
    assert lines[-1] == "patient overlap: train/validation 1, train/test 0, validation/test 0"

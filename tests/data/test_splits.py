import hashlib

import numpy as np
import pandas as pd
import pytest

from mamsf_keras.data.chestxray14 import read_tables
from mamsf_keras.data.splits import official_split, overlap, random_patient_split, split, split_counts, split_table
from mamsf_keras.data.tables import patient_key
from mamsf_keras.findings import FINDINGS, NO_FINDING

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
    with pytest.raises(
        ValueError,
        match="`protocol` must be one of official, .* Received: random.",
    ):
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


def random_studies(patients=600, seed=0):
    """Patients of one to four images; findings from common to one patient in a hundred."""
    rng = np.random.default_rng(seed)
    rates = np.geomspace(0.3, 0.01, len(FINDINGS))
    rows = []
    for patient in range(patients):
        for _ in range(rng.integers(1, 5)):
            rows.append(
                (patient, [name for name, rate in zip(FINDINGS, rates, strict=True) if rng.random() < rate], "")
            )
    return studies(rows)


def test_random_patients_hold_every_finding_in_every_part():
    table = random_studies()
    part = random_patient_split(table)
    assert set(overlap(table["patient"], part).values()) == {0}
    for name in FINDINGS:
        patients = table[table[name] == 1].groupby("patient").first().index
        shares = pd.Series(part, index=table["patient"])[patients].groupby(level=0).first().value_counts()
        assert set(shares.index) == {"train", "validation", "test"}
        assert abs(shares["test"] - 0.2 * len(patients)) <= 2 + 0.1 * len(patients)
        assert abs(shares["validation"] - 0.1 * len(patients)) <= 2 + 0.05 * len(patients)
    counts = pd.Series(part, index=table["patient"]).groupby(level=0).first().value_counts()
    assert counts.to_dict() == pytest.approx({"train": 420, "test": 120, "validation": 60}, abs=20)


def test_three_patients_of_a_finding_are_one_in_each_part():
    table = studies([(p, ["Hernia"] if p < 3 else [], "") for p in range(100)])
    assert set(random_patient_split(table)[:3]) == {"train", "validation", "test"}


def test_random_patients_depend_neither_on_row_order_nor_on_how_ids_are_written():
    table = random_studies()
    order = np.random.default_rng(0).permutation(len(table))
    shuffled = table.iloc[order].assign(patient=lambda t: t["patient"].map(lambda p: f"{p:08d}"))
    assert (random_patient_split(shuffled) == random_patient_split(table)[order]).all()


def test_an_image_without_labels_is_not_counted_as_without_finding():
    table = studies([(1, ["Mass"], ""), (2, [], ""), (3, [], "")]).astype({name: float for name in FINDINGS})
    table.loc[2, list(FINDINGS)] = np.nan
    part = np.array(["train", "validation", "test"], dtype=object)
    assert split_counts(table, part)["all"][["images", NO_FINDING]].tolist() == [3, 1]


def test_disease_only_leaves_out_what_has_no_finding():
    table = random_studies()
    part = split(table, protocol="disease-only")
    assert ((part == "") == (table[list(FINDINGS)].sum(axis=1) == 0)).all()
    healthy = table[list(FINDINGS)].sum(axis=1).eq(0).astype("int8")
    labelled = split(table.assign(**{NO_FINDING: healthy}), (*FINDINGS, NO_FINDING), protocol="disease-only")
    assert ((labelled == "") == (healthy == 1)).all()


def test_lists_of_ones_own(tmp_path):
    table = studies([(p, ["Mass"], "") for p in (1, 2, 3, 4)]).assign(image=["a", "b", "c", "d"])
    lists = tmp_path / "lists.csv"
    lists.write_text("image,split\na,train\nb,validation\nc,test\n")
    assert split(table, protocol=f"file:{lists}").tolist() == ["train", "validation", "test", ""]
    lists.write_text("image,split\na,train\nb,val\nc,test\n")
    with pytest.raises(ValueError, match=r"must be one of train, validation, test. Found: 1 \(first: val\)"):
        split(table, protocol=f"file:{lists}")
    lists.write_text("image,split\na,train\nb,validation\nx,test\n")
    with pytest.raises(ValueError, match="lists images that the table lacks: 1"):
        split(table, protocol=f"file:{lists}")


@pytest.mark.parametrize("patient", ["1", "1.0", "00000001"])
def test_leak_in_a_list_is_refused(tmp_path, patient):
    table = studies([(1, ["Mass"], ""), (2, [], ""), (patient, [], "")]).assign(image=["a", "b", "c"])
    (tmp_path / "lists.csv").write_text("image,split\na,train\nb,validation\nc,test\n")
    with pytest.raises(ValueError, match="Patients must not be shared .* 1 in train and test"):
        split(table, protocol=f"file:{tmp_path / 'lists.csv'}")


def test_other_tables_have_no_official_split():
    with pytest.raises(ValueError, match="Only the NIH tables have an official split: use --protocol random-patient"):
        split(studies([(1, [], "")]))

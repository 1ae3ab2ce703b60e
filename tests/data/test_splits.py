import hashlib

import numpy as np
import pandas as pd
import pytest

from mamsf_keras.config import DataConfig
from mamsf_keras.data.dataset import Dataset
from mamsf_keras.data.readers import nih
from mamsf_keras.data.splits import (
    assign_splits,
    official_split,
    overlap,
    random_patient_split,
    split_counts,
    split_summary,
    split_table,
)
from mamsf_keras.data.tables import patient_key
from mamsf_keras.findings import FINDINGS, NO_FINDING

pytestmark = pytest.mark.no_keras


def make_table(rows):
    """Returns a table of rows (patient, labels, official list)."""
    table = pd.DataFrame({"patient": [row[0] for row in rows], "official_list": [row[2] for row in rows]})
    for name in FINDINGS:
        table[name] = [int(name in row[1]) for row in rows]
    return table


def validation_by_hand(table):
    """The rule of the docstring, in plain Python over dictionaries."""
    counts = {name: int(table[name].sum()) for name in FINDINGS}
    found = {}
    for row in table[table["official_list"] == "train_val"].to_dict("records"):
        found.setdefault(str(int(row["patient"])), set()).update(name for name in FINDINGS if row[name])
    strata = {name: [] for name in (*sorted(FINDINGS, key=counts.get), "No Finding")}
    for patient, names in found.items():
        strata[min(names, key=counts.get) if names else "No Finding"].append(patient)
    seats = {name: len(patients) // 10 for name, patients in strata.items()}
    while sum(seats.values()) < round(len(found) / 10):
        seats[max(strata, key=lambda name: len(strata[name]) / 10 - seats[name])] += 1
    chosen = set()
    for name, patients in strata.items():
        patients.sort(key=lambda patient: hashlib.sha256(patient.encode()).hexdigest())
        chosen.update(patients[: seats[name]])
    return chosen


def test_official_split_follows_the_documented_rule(nih_dir):
    table = nih.read(DataConfig(nih_dir)).table
    part = official_split(table)
    chosen = set(table["patient"][part == "validation"].map(patient_key))
    assert chosen == validation_by_hand(table) and len(chosen) > 100
    assert ((part == "test") == (table["official_list"] == "test")).all()


def test_small_sets_have_a_tenth_of_their_patients_in_validation():
    """Each of twelve findings has nine patients: rounded by itself, each stratum would get 1 of 9, or 0 of 4."""
    for each in range(1, 15):
        rows = [(12 * k + i, [name], "train_val") for i, name in enumerate(FINDINGS[:12]) for k in range(each)]
        splits = official_split(make_table(rows))
        assert (splits == "validation").sum() == round(12 * each / 10), each
    table = make_table([(p, [FINDINGS[p % 14]] if p % 3 else [], "train_val") for p in range(240)])
    assert (official_split(table) == "validation").sum() == 24


def test_remaining_patients_go_to_the_largest_remainders():
    rows = [(p, ["Hernia"] if p < 4 else ["Mass"] if p < 12 else [], "train_val") for p in range(25)]
    splits = official_split(make_table(rows))  # 4, 8 and 13 patients: 2 seats, 1 of them for a whole tenth
    assert [(splits[a:b] == "validation").sum() for a, b in ((0, 4), (4, 12), (12, 25))] == [0, 1, 1]


def test_official_split_depends_neither_on_row_order_nor_on_how_ids_are_written(nih_dir):
    table = nih.read(DataConfig(nih_dir)).table
    part = official_split(table)
    order = np.random.default_rng(0).permutation(len(table))
    shuffled = table.iloc[order].assign(patient=lambda t: t["patient"].map(lambda p: f"{int(p):08d}"))
    assert (official_split(shuffled) == part[order]).all()


def test_shared_patient_is_refused():
    rows = [(p, ["Mass"] if p % 2 else [], "train_val") for p in range(40)] + [("00000007", [], "test")]
    with pytest.raises(ValueError, match="must not be in two splits. Found: 1 in (train|validation) and test"):
        split_table(make_table(rows))


def test_empty_split_and_unknown_protocol_are_refused():
    with pytest.raises(ValueError, match="puts none of the 2 images into the validation split"):
        split_table(make_table([(1, [], "train_val"), (2, [], "test")]))
    with pytest.raises(ValueError, match="`protocol` must be one of official, .* Received: protocol=random."):
        split_table(make_table([(1, [], "train_val")]), protocol="random")


def test_overlap_and_summary_by_hand():
    table = make_table([(1, ["Mass"], "train_val"), (2, [], "train_val"), (2, [], "train_val"), (3, ["Mass"], "test")])
    part = np.array(["train", "train", "validation", "test"], dtype=object)
    assert overlap(table["patient"], part) == {
        ("train", "validation"): 1,
        ("train", "test"): 0,
        ("validation", "test"): 0,
    }
    lines = split_summary(table.assign(split=part)).splitlines()
    assert lines[1].split() == ["images", "2", "1", "1", "4"]
    assert lines[2].split() == ["patients", "2", "1", "1", "3"]
    assert lines[3].split() == ["No", "Finding", "1", "1", "0", "2"]
    assert next(line for line in lines if line.startswith("Mass")).split() == ["Mass", "1", "0", "1", "2"]
    assert lines[-1] == "patient overlap: train/validation 1, train/test 0, validation/test 0"


def random_table(patients=600, seed=0):
    """Returns patients with one to four images; the findings are on 30% to 1% of the images."""
    rng = np.random.default_rng(seed)
    rates = np.geomspace(0.3, 0.01, len(FINDINGS))
    rows = []
    for patient in range(patients):
        for _ in range(rng.integers(1, 5)):
            rows.append(
                (patient, [name for name, rate in zip(FINDINGS, rates, strict=True) if rng.random() < rate], "")
            )
    return make_table(rows)


def test_random_patient_split_has_every_finding_in_every_split():
    table = random_table()
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


def test_official_split_of_random_patients_follows_the_documented_rule():
    table = random_table(patients=900)
    table["official_list"] = np.where(table["patient"] % 5 == 0, "test", "train_val")
    splits = official_split(table)
    chosen = set(table["patient"][splits == "validation"].map(patient_key))
    assert chosen == validation_by_hand(table) and len(chosen) > 50
    assert ((splits == "test") == (table["official_list"] == "test")).all()


def test_three_patients_of_a_finding_are_in_three_splits():
    table = make_table([(p, ["Hernia"] if p < 3 else [], "") for p in range(100)])
    assert set(random_patient_split(table)[:3]) == {"train", "validation", "test"}


def test_random_patient_split_depends_neither_on_row_order_nor_on_how_ids_are_written():
    table = random_table()
    order = np.random.default_rng(0).permutation(len(table))
    shuffled = table.iloc[order].assign(patient=lambda t: t["patient"].map(lambda p: f"{p:08d}"))
    assert (random_patient_split(shuffled) == random_patient_split(table)[order]).all()


def test_an_image_without_labels_is_not_counted_as_without_finding():
    table = make_table([(1, ["Mass"], ""), (2, [], ""), (3, [], "")]).astype({name: float for name in FINDINGS})
    table.loc[2, list(FINDINGS)] = np.nan
    part = np.array(["train", "validation", "test"], dtype=object)
    assert split_counts(table.assign(split=part))["all"][["images", NO_FINDING]].tolist() == [3, 1]


def test_finding_that_is_blank_everywhere_leaves_the_count_without_finding():
    table = make_table([(1, ["Mass"], ""), (2, [], ""), (3, [], "")]).astype({name: float for name in FINDINGS})
    table["Hernia"] = np.nan
    table = table.assign(split=np.array(["train", "validation", "test"], dtype=object))
    counts = split_counts(table)
    assert counts.loc[NO_FINDING].tolist() == [0, 1, 1, 2] and counts["all"]["Hernia"] == "0 of 0"
    table[list(FINDINGS)] = np.nan
    assert split_counts(table).loc[NO_FINDING].tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("name", ["No finding", "normal", "no_finding"])
def test_no_finding_is_counted_once_in_any_spelling(name):
    table = make_table([(p, ["Mass"] if p % 2 else [], "") for p in range(60)])[["patient", "official_list", "Mass"]]
    table = table.assign(**{name: 1 - table["Mass"]})
    dataset = assign_splits(Dataset(table, ("Mass", name), store=None), "disease-only")
    assert dataset.split_notes == ("images left out by the disease-only protocol: 30",)
    counts = split_counts(dataset.table, dataset.findings)
    assert list(counts.index) == ["images", "patients", "Mass", name] and counts["all"].tolist() == [30, 30, "30", "0"]


def test_disease_only_leaves_out_images_without_finding():
    table = random_table()
    part = split_table(table, protocol="disease-only")
    assert ((part == "") == (table[list(FINDINGS)].sum(axis=1) == 0)).all()
    healthy = table[list(FINDINGS)].sum(axis=1).eq(0).astype("int8")
    labeled = split_table(table.assign(**{NO_FINDING: healthy}), (*FINDINGS, NO_FINDING), protocol="disease-only")
    assert ((labeled == "") == (healthy == 1)).all()
    for name in ("No finding", "no_finding", "Normal"):
        table = random_table().assign(**{name: healthy})
        np.testing.assert_array_equal(split_table(table, (*FINDINGS, name), protocol="disease-only"), labeled)


def test_custom_split_from_a_file(tmp_path):
    table = make_table([(p, ["Mass"], "") for p in (1, 2, 3, 4)]).assign(image=["a", "b", "c", "d"])
    lists = tmp_path / "lists.csv"
    lists.write_text("image,split\na,train\nb,validation\nc,test\n")
    assert split_table(table, protocol=f"file:{lists}").tolist() == ["train", "validation", "test", ""]
    lists.write_text("image,split\na,train\nb,val\nc,test\n")
    with pytest.raises(ValueError, match=r"must be one of train, validation, test. Found: 1 \(first: val\)"):
        split_table(table, protocol=f"file:{lists}")
    lists.write_text("image,split\na,train\nb,validation\nx,test\n")
    with pytest.raises(ValueError, match="lists images that are not in the table: 1"):
        split_table(table, protocol=f"file:{lists}")
    lists.write_text("image,split\na,train\nb,validation\nc,test\na,test\n")
    with pytest.raises(ValueError, match=r"lists images more than once: 1 \(first: a\)"):
        split_table(table, protocol=f"file:{lists}")


@pytest.mark.parametrize("split", ["NA", "nan", "None", ""])
def test_split_that_is_written_as_missing_is_refused(tmp_path, split):
    table = make_table([(p, ["Mass"], "") for p in (1, 2, 3, 4)]).assign(image=["a", "b", "c", "NA"])
    (tmp_path / "lists.csv").write_text(f"image,split\na,train\nb,validation\nc,test\nNA,{split}\n")
    with pytest.raises(ValueError, match=rf"must be one of .* Found: 1 \(first: {split or 'blank'}\)"):
        split_table(table, protocol=f"file:{tmp_path / 'lists.csv'}")
    (tmp_path / "lists.csv").write_text("image,split\na,train\nb,validation\nc,test\nNA,test\n")
    splits = split_table(table, protocol=f"file:{tmp_path / 'lists.csv'}")
    assert splits.tolist() == ["train", "validation", "test", "test"]


def test_open_quote_in_a_custom_split_is_refused(tmp_path):
    table = make_table([(p, ["Mass"], "") for p in range(5)]).assign(image=list("abcde"))
    (tmp_path / "lists.csv").write_text('image,split,why\na,train,\nb,train,"old\nc,validation,12"\nd,test,\ne,test,\n')
    with pytest.raises(ValueError, match=r"lists.csv, line 3: a quoted field does not end until line 4"):
        split_table(table, protocol=f"file:{tmp_path / 'lists.csv'}")


@pytest.mark.parametrize("patient", ["1", "1.0", "00000001"])
def test_custom_split_that_shares_a_patient_is_refused(tmp_path, patient):
    table = make_table([(1, ["Mass"], ""), (2, [], ""), (patient, [], "")]).assign(image=["a", "b", "c"])
    (tmp_path / "lists.csv").write_text("image,split\na,train\nb,validation\nc,test\n")
    with pytest.raises(ValueError, match="Patients must not be in two splits. Found: 1 in train and test"):
        split_table(table, protocol=f"file:{tmp_path / 'lists.csv'}")


def test_other_tables_have_no_official_split():
    with pytest.raises(ValueError, match="Only the NIH tables have an official split. Use `protocol` random-patient"):
        split_table(make_table([(1, [], "")]))


def test_assign_splits_adds_the_column_and_notes_what_is_left_out():
    dataset = Dataset(random_table(), FINDINGS, store=None, notes=("a note",))
    without = int(dataset.table[list(FINDINGS)].sum(axis=1).eq(0).sum())
    assigned = assign_splits(dataset, "disease-only")
    np.testing.assert_array_equal(assigned.table["split"], split_table(dataset.table, protocol="disease-only"))
    assert assigned.protocol == "disease-only" and without > 0
    assert assigned.notes == ("a note",)
    assert assigned.split_notes == (f"images left out by the disease-only protocol: {without}",)
    assert "split" not in dataset.table and dataset.protocol is None


def test_equal_pixels_in_two_splits_are_noted(tmp_path):
    table = make_table([(p, ["Mass"], "") for p in range(6)]).assign(image=list("abcdef"))
    table["sha256"] = ["1", "2", "1", "2", np.nan, np.nan]  # a = c and b = d
    (tmp_path / "lists.csv").write_text("image,split\na,train\nb,train\nc,test\nd,train\ne,validation\n")
    assigned = assign_splits(Dataset(table, FINDINGS, store=None), f"file:{tmp_path / 'lists.csv'}")
    assert assigned.split_notes[-1] == "groups of images with equal pixels in more than one split: 1 (first: a = c)"

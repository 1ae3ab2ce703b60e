"""The frequencies against the NIH table, and the groups against the frequencies."""

import collections
import csv

import pytest

from mamsf_keras.findings import (
    BOX_FINDINGS,
    FINDINGS,
    HEAD,
    IMAGES,
    MEDIUM,
    NO_FINDING,
    POSITIVES,
    TAIL,
    find_name,
    is_no_finding,
    with_nearest,
)

pytestmark = pytest.mark.no_keras


def test_groups_partition_the_findings():
    assert sorted((*HEAD, *MEDIUM, *TAIL)) == sorted(FINDINGS) and len(FINDINGS) == 14
    assert TAIL == ("Pneumonia", "Fibrosis", "Hernia")
    assert min(POSITIVES[name] for name in HEAD) > 0.05 * IMAGES > max(POSITIVES[name] for name in MEDIUM)
    assert min(POSITIVES[name] for name in MEDIUM) > 0.02 * IMAGES > max(POSITIVES[name] for name in TAIL)


def test_spellings_of_no_finding():
    for name in ("No Finding", "No finding", "no_finding", "NO-FINDINGS", "Normal", "normal"):
        assert is_no_finding(name), name
        assert find_name(name, (*FINDINGS, NO_FINDING)) == NO_FINDING
    for name in ("Abnormal", "Finding", "", "Nodule"):
        assert not is_no_finding(name), name


def test_name_is_found_in_another_spelling_but_never_guessed():
    assert find_name("pleural thickening", FINDINGS) == "Pleural_Thickening"
    assert find_name("EFFUSION", FINDINGS) == "Effusion"
    assert find_name("Pleural Effusion", FINDINGS) is None
    assert find_name("a b", ["A_B", "a-b"]) is None  # two candidates
    assert find_name("a-b", ["A_B", "a-b"]) == "a-b"


def test_misspelled_name_comes_with_the_nearest_known_name():
    assert with_nearest("Effusoin", FINDINGS) == "Effusoin (did you mean Effusion?)"
    assert with_nearest("pleural thikening", FINDINGS) == "pleural thikening (did you mean Pleural_Thickening?)"
    assert with_nearest("Scoliosis", FINDINGS) == "Scoliosis"


def read_rows(path):
    with open(path, encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))[1:]


def test_frequencies_equal_those_of_the_nih_table(nih_dir):
    rows = read_rows(nih_dir / "full_tables" / "Data_Entry_2017.csv")
    counts = collections.Counter(name for row in rows for name in row[1].split("|"))
    assert len(rows) == IMAGES and counts == {**POSITIVES, NO_FINDING: 60_361}


def test_box_findings_equal_those_of_the_nih_list(nih_dir):
    names = {row[1].replace("Infiltrate", "Infiltration") for row in read_rows(nih_dir / "BBox_List_2017.csv")}
    assert names == set(BOX_FINDINGS) < set(FINDINGS)

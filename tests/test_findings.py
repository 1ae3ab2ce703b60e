"""The frequencies against the NIH table, and the groups against the frequencies."""

import collections
import csv

import pytest

from mamsf_keras.findings import BOX_FINDINGS, FINDINGS, HEAD, IMAGES, MEDIUM, NO_FINDING, POSITIVES, TAIL

pytestmark = pytest.mark.no_keras


def test_groups_part_the_findings():
    assert sorted((*HEAD, *MEDIUM, *TAIL)) == sorted(FINDINGS) and len(FINDINGS) == 14
    assert TAIL == ("Pneumonia", "Fibrosis", "Hernia")
    assert min(POSITIVES[name] for name in HEAD) > 0.05 * IMAGES > max(POSITIVES[name] for name in MEDIUM)
    assert min(POSITIVES[name] for name in MEDIUM) > 0.02 * IMAGES > max(POSITIVES[name] for name in TAIL)


def read_rows(path):
    with open(path, encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))[1:]


def test_frequencies_are_those_of_the_nih_table(nih_dir):
    rows = read_rows(nih_dir / "full_tables" / "Data_Entry_2017.csv")
    counts = collections.Counter(name for row in rows for name in row[1].split("|"))
    assert len(rows) == IMAGES and counts == {**POSITIVES, NO_FINDING: 60_361}


def test_box_findings_are_those_of_the_nih_list(nih_dir):
    names = {row[1].replace("Infiltrate", "Infiltration") for row in read_rows(nih_dir / "BBox_List_2017.csv")}
    assert names == set(BOX_FINDINGS) < set(FINDINGS)

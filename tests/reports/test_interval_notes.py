import pytest

from mamsf_keras.reports.interval_notes import interval_note, mean_gaps, usable_notes
from tests.reports.test_evaluation import evaluated
from tests.reports.test_evaluation_notes import row

pytestmark = pytest.mark.no_keras


def test_widths_of_the_intervals_are_compared_in_words():
    rows = {
        "A": row([0.7, 0.9], [0.75, 0.85]),
        "B": row([0.7, 0.8], [0.7, 0.8]),
        "C": row(None, [0.7, 0.8]),
    }
    note = interval_note({"images": 30, "patients": 10, "findings": rows})
    assert "assumes independent images" in note and "3.00 images on average" in note
    assert "is 1.50 (from 1.00, B, to 2.00, A)." in note
    assert "No finding has both intervals." in interval_note({"images": 9, "patients": 3, "findings": {"C": rows["C"]}})


def test_a_file_without_patients_is_named():
    summary = {"images": 9, "patients": 9, "findings": {}}
    assert "each image counts as a separate patient" in interval_note(summary | {"patients_known": False})
    for known in (summary, summary | {"patients_known": True}):  # one image per patient
        assert "column of patients" not in interval_note(known) and "1.00 images on average" in interval_note(known)


def test_means_without_an_interval_name_the_findings_responsible():
    assert mean_gaps(evaluated()[0]) == [
        f"No interval for the mean of {name}, because it includes findings with fewer than 10 positive or 10 negative "
        "patients: Hernia."
        for name in ("all", "tail")
    ]


def test_the_share_of_usable_resamples_is_stated_where_it_is_below_1():
    summary = evaluated()[0]
    assert usable_notes(summary) == []
    for partly in (summary["findings"]["Hernia"], summary["means"]["macro"]):
        partly["usable_resamples"] = 0.9835
    assert usable_notes(summary) == [
        "Not all resamples have both positives and negatives; the share that does: "
        "Hernia (98.35%), mean of all (98.35%)."
    ]

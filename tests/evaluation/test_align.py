import dataclasses
from pathlib import Path

import numpy as np
import pytest

from mamsf_keras.evaluation.align import align
from tests.recipes import simulated_predictions

pytestmark = pytest.mark.no_keras

A, B, C = Path("a"), Path("b"), Path("c")


@pytest.fixture
def reads():
    return {A: simulated_predictions(0, 0), B: simulated_predictions(0, 1), C: simulated_predictions(1, 0)}


def columns(read, order):
    findings = tuple(read.findings[i] for i in order)
    return dataclasses.replace(
        read, findings=findings, probabilities=read.probabilities[:, order], labels=read.labels[:, order]
    )


def check_equal(one, two):
    for a, b in zip(one, two, strict=True):
        assert a.table.equals(b.table) and a.findings == b.findings
        np.testing.assert_array_equal(a.probabilities, b.probabilities)
        np.testing.assert_array_equal(a.labels, b.labels)


@pytest.mark.parametrize("which", [A, B, C])
def test_order_of_rows_and_columns_makes_no_difference(reads, which):
    expected = align(reads)
    shuffled = reads[which].take(np.random.default_rng(0).permutation(180))
    check_equal(align({**reads, which: shuffled}), expected)
    check_equal(align({**reads, which: reads[which].take(np.arange(180)[::-1])}), expected)
    check_equal(align({**reads, which: columns(shuffled, [2, 0, 1])}), expected)
    assert expected[0].findings == ("Effusion", "Mass", "Hernia")  # by their number of positives
    np.testing.assert_array_equal(expected[2].probabilities[:, 1], reads[C].probabilities[:, 0])


def test_missing_rows_are_counted_and_named(reads):
    kept = np.delete(np.arange(180), [3, 4, 5, 6, 7])
    lacks = r"lacks 5 \(first: 003.png, 004.png, 005.png, 006.png, 007.png\)\."
    with pytest.raises(ValueError, match=f"a and b have predictions for different images: b {lacks}"):
        align({**reads, B: reads[B].take(kept)})
    with pytest.raises(ValueError, match=f"a and b have predictions for different images: a {lacks}"):
        align({**reads, A: reads[A].take(kept)})
    with pytest.raises(ValueError, match=r"a lacks 1 \(first: 000.png\); b lacks 1 \(first: 179.png\)"):
        align({A: reads[A].take(np.arange(1, 180)), B: reads[B].take(np.arange(179))})


def test_findings_must_be_the_same(reads):
    with pytest.raises(ValueError, match=r"a and c have predictions for different findings: c lacks 1 \(first: Mass\)"):
        align({**reads, C: columns(reads[C], [1, 2])})


@pytest.mark.parametrize("value", [1, np.nan])
def test_labels_must_be_the_same(reads, value):
    labels = reads[C].labels.copy()
    row = int(np.flatnonzero(labels[:, 1] == 0)[0])
    labels[row, 1] = value
    with pytest.raises(ValueError, match=rf"a and c have different labels for Effusion .* 1 \(first: {row:03d}.png\)"):
        align({**reads, C: dataclasses.replace(reads[C], labels=labels)})


def test_labels_may_be_missing_in_all_runs(reads):
    labels = reads[A].labels.copy()
    labels[0] = np.nan
    assert len(align({path: dataclasses.replace(read, labels=labels) for path, read in reads.items()})) == 3
    labels[:] = np.nan
    with pytest.raises(ValueError, match="predictions of a have no labels"):
        align({path: dataclasses.replace(read, labels=labels) for path, read in reads.items()})


def test_patients_must_be_the_same_in_any_spelling(reads):
    def renamed(change):
        table = reads[B].table.assign(patient=reads[B].table["patient"].map(change))
        return {**reads, B: dataclasses.replace(reads[B], table=table)}

    assert len(align(renamed(lambda patient: patient.zfill(8)))) == 3
    with pytest.raises(ValueError, match=r"a and b have different patients for these images: 3 \(first: 000.png"):
        align(renamed(lambda patient: "99" if patient == "0" else patient))


def test_copy_of_a_run_is_refused(reads):
    with pytest.raises(ValueError, match="a and c have the same predictions: one is a copy"):
        align({**reads, C: reads[A].take(np.arange(180)[::-1])})

import logging

import numpy as np
import pytest

from mamsf_keras.config import LabelsCsv
from mamsf_keras.evaluation.join import match_findings, read_labeled_predictions, tie_notes
from mamsf_keras.evaluation.metrics import per_finding
from tests.evaluation.test_predictions import predictions

pytestmark = pytest.mark.no_keras

LABELS = """image,patient,Mass,Pleural_Thickening
a,1,1,0
b,1,0,1
c,2,-1,0
d,3,,0
e,4,1,1
f,5,0,0
"""


def write(folder, labels=LABELS, **files):
    (folder / "labels.csv").write_text(labels)
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text)
    return folder / "labels.csv"


def test_shuffled_rows_and_columns_are_aligned(tmp_path):
    labels = write(
        tmp_path,
        p="image,Mass,Pleural_Thickening\na,.9,.1\nb,.2,.2\nc,.1,.3\nd,.95,.4\ne,.7,.5\nf,.8,.6\n",
        q="pleural thickening,image,mass\n.6,f,.8\n.5,e,.7\n.4,d,.95\n.3,c,.1\n.2,b,.2\n.1,a,.9\n",
    )
    first, second = (read_labeled_predictions(tmp_path / f"{name}.csv", labels) for name in "pq")
    np.testing.assert_array_equal(first.labels[::-1], second.labels[:, ::-1])
    np.testing.assert_array_equal(first.probabilities[::-1], second.probabilities[:, ::-1])
    assert first.patients[::-1].tolist() == second.patients.tolist() == ["5", "4", "3", "2", "1", "1"]


def test_blank_and_uncertain_labels_are_masked_or_counted(tmp_path):
    labels = write(tmp_path, p="image,Mass\na,.9\nb,.2\nc,.1\nd,.95\ne,.7\nf,.8\n")
    masked = read_labeled_predictions(tmp_path / "p.csv", labels)
    row = per_finding(masked.labels, masked.probabilities, masked.findings)["Mass"]
    assert (row["auroc"], row["images"], row["masked"]) == (0.75, 4, 2)
    options = LabelsCsv(str(labels), blank="negative", uncertain="positive")
    assert read_labeled_predictions(tmp_path / "p.csv", options).labels.ravel().tolist() == [1, 0, 1, 0, 1, 0]


@pytest.mark.parametrize(
    "rows, message",
    [
        (
            "image,Mass\na,.9\nz,.2\n",
            "p.csv has images without labels in .*labels.csv: 1 .first: z..",
        ),
        ("image,Masss\na,.9\n", "The labels have no finding Masss .did you mean Mass.."),
        ("image,Mass,mass\na,.9,.1\n", "more than one column for Mass"),
        ("image,patient,Mass\na,1,.9\nb,7,.2\n", "have different patients for these images: 1 .first: b."),
    ],
)
def test_mismatches_are_refused_and_named(tmp_path, rows, message):
    labels = write(tmp_path, p=rows)
    with pytest.raises(ValueError, match=message):
        read_labeled_predictions(tmp_path / "p.csv", labels)


def test_labels_without_predictions_are_named(tmp_path, caplog):
    labels = write(tmp_path, p="image,Mass\na,.9\nb,.2\nf,.1\n")
    with caplog.at_level(logging.INFO, "mamsf_keras"):
        assert len(read_labeled_predictions(tmp_path / "p.csv", labels).table) == 3
    assert "labeled images without a prediction, left out: 3 (first: c, d, e)" in caplog.text
    assert "label columns without predictions, left out: Pleural_Thickening" in caplog.text


def test_label_columns_of_the_predictions_are_used_without_a_table(tmp_path):
    write(tmp_path, p="image,A,A_label\na,.9,1\nb,.2,0\n", q="image,A\na,.9\n")
    assert read_labeled_predictions(tmp_path / "p.csv").labels.ravel().tolist() == [1, 0]
    with pytest.raises(ValueError, match="has no NAME_label columns. Set `labels` to a table of labels."):
        read_labeled_predictions(tmp_path / "q.csv")


def test_findings_match_across_spaces_and_case():
    assert match_findings(["pleural thickening", "MASS"], ["Mass", "Pleural_Thickening"]) == [
        "Pleural_Thickening",
        "Mass",
    ]


def test_ties_of_rounding_are_noted():
    scores = np.random.default_rng(0).random((400, 1))
    labels = (np.arange(400) % 2)[:, None]
    assert tie_notes(predictions(scores, labels)) == []
    [note] = tie_notes(predictions(scores.round(1), labels))
    assert note.startswith("A: 100% of the images share their score with an image of the other class")

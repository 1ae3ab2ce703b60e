import numpy as np
import pytest

from mamsf_keras.config import LabelsCsv
from mamsf_keras.evaluation.join import (
    NO_PATIENTS,
    match_findings,
    read_labeled_predictions,
    tie_notes,
    with_standard_names,
)
from mamsf_keras.evaluation.metrics import per_finding
from mamsf_keras.evaluation.predictions import Predictions
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
    return LabelsCsv(str(folder / "labels.csv"))


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
    options = LabelsCsv(labels.path, blank="negative", uncertain="positive")
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


def test_findings_have_the_spelling_of_the_labels_or_of_the_calibration_or_of_nih(tmp_path):
    labels = write(tmp_path, p="image,MASS,pleural thickening,my finding\na,.9,.1,.5\nb,.2,.2,.5\n")
    read = Predictions.read(tmp_path / "p.csv")
    assert with_standard_names(read, ["My_Finding", "mass"]).findings == ("mass", "Pleural_Thickening", "My_Finding")
    assert with_standard_names(read).findings == ("Mass", "Pleural_Thickening", "my finding")
    write(tmp_path, p="image,pleural thickening\na,.9\nb,.2\n")
    assert read_labeled_predictions(tmp_path / "p.csv", labels).findings == ("Pleural_Thickening",)


def test_notes_name_what_is_left_out_and_what_is_odd(tmp_path):
    table = LABELS.replace("image,patient", "image,patient,age").replace("a,1,", "a,1,1500,").replace("b,1,", "b,1,60,")
    for row in ("c,2,", "d,3,", "e,4,", "f,5,"):
        table = table.replace(row, f"{row}50,")
    labels = write(tmp_path, table, p="image,Mass\na,.9\nb,.2\nf,.1\n")
    read = read_labeled_predictions(tmp_path / "p.csv", labels)
    assert len(read.table) == 3 and read.has_patients
    assert read.notes == (
        "ages above 120 years: 1 (such as 1500)",
        "labeled images without a prediction, left out: 3 (first: c, d, e)",
        "label columns without predictions, left out: Pleural_Thickening",
    )


def test_patients_and_attributes_are_taken_from_the_predictions_where_the_labels_lack_them(tmp_path):
    labels = write(
        tmp_path,
        "image,sex,Mass\na,F,1\nb,M,0\nc,M,1\n",
        p="image,patient_id,age,sex,Mass\nc,1,50,F,.9\nb,1,60,F,.2\na,2,70,F,.1\n",
        q="image,Mass\nc,.9\nb,.2\na,.1\n",
    )
    read = read_labeled_predictions(tmp_path / "p.csv", labels)
    assert read.patients.tolist() == ["1", "1", "2"] and read.has_patients and read.notes == ()
    assert read.table["age"].tolist() == [50, 60, 70] and read.table["sex"].tolist() == ["M", "M", "F"]
    read = read_labeled_predictions(tmp_path / "q.csv", labels)
    assert read.patients.tolist() == ["c", "b", "a"] and not read.has_patients
    assert read.notes == (NO_PATIENTS,) and "each image counts as a separate patient" in NO_PATIENTS


def test_label_columns_of_the_predictions_are_used_without_a_table(tmp_path):
    write(tmp_path, p="image,A,A_label\na,.9,1\nb,.2,0\n", q="image,A\na,.9\n")
    assert read_labeled_predictions(tmp_path / "p.csv").labels.ravel().tolist() == [1, 0]
    with pytest.raises(ValueError, match="has no NAME_label columns. Set `labels` to a label table."):
        read_labeled_predictions(tmp_path / "q.csv")
    write(tmp_path, p="image,A,A_label\na,.9,\n")
    with pytest.raises(ValueError, match="has only blank NAME_label columns"):
        read_labeled_predictions(tmp_path / "p.csv")


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


def test_a_constant_model_is_not_explained_by_rounding():
    labels = (np.arange(400) % 2)[:, None]
    assert tie_notes(predictions(np.full((400, 1), 0.3), labels)) == ["A: all images have the same score"]

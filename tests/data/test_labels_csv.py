import numpy as np
import pytest

from mamsf_keras.data.labels_csv import read_labels_csv
from mamsf_keras.evaluation.metrics import per_finding

pytestmark = pytest.mark.no_keras

CHEXPERT = """Path,Sex,Age,Frontal/Lateral,AP/PA,Edema,Fracture
small/train/patient00001/study1/view1_frontal.jpg,Female,68,Frontal,AP,1.0,
small/train/patient00001/study2/view1_frontal.jpg,Female,69,Frontal,AP,-1.0,0.0
small/train/patient00002/study1/view1_frontal.jpg,Male,87,Frontal,PA,,1.0
"""


@pytest.fixture
def table(tmp_path):
    def write(text):
        (tmp_path / "labels.csv").write_text(text)
        return tmp_path / "labels.csv"

    return write


def test_a_chexpert_table(table):
    studies = read_labels_csv(table(CHEXPERT))
    assert studies.findings == ("Edema", "Fracture")
    assert studies.table["patient"].tolist() == ["patient00001", "patient00001", "patient00002"]
    assert studies.table["age"].tolist() == [68, 69, 87] and studies.table["view"].tolist() == ["AP", "AP", "PA"]
    np.testing.assert_array_equal(studies.table[["Edema", "Fracture"]], [[1, np.nan], [np.nan, 0], [np.nan, 1]])


@pytest.mark.parametrize(
    ("blank", "uncertain", "expected"),
    [
        ("negative", "mask", [[1, 0], [np.nan, 0], [0, 1]]),
        ("mask", "positive", [[1, np.nan], [1, 0], [np.nan, 1]]),
        ("negative", "negative", [[1, 0], [0, 0], [0, 1]]),
    ],
)
def test_what_blank_and_uncertain_mean(table, blank, uncertain, expected):
    studies = read_labels_csv(table(CHEXPERT), blank=blank, uncertain=uncertain)
    np.testing.assert_array_equal(studies.table[["Edema", "Fracture"]], expected)


def test_columns_by_name_and_equal_base_names(table):
    path = table("who,file,view,X,Y\n1,a/0.png,PA,1,0\n2,b/0.png,PA,0,1\n")
    studies = read_labels_csv(path, ("Y",), image_column="file", patient_column="who")
    assert studies.findings == ("Y",) and studies.table["image"].tolist() == ["a/0.png", "b/0.png"]


def test_columns_that_look_like_labels_and_are_not_taken_are_said(table):
    path = table("path,patient,A,B,C,age\na,1,1,1?,-1,60\nb,2,0,0,,61\nc,3,1,1,-1,50\n")
    studies = read_labels_csv(path)
    assert studies.findings == ("A",)
    assert "cells such as '1?': B" in studies.notes[0] and "without a positive: C" in studies.notes[1]
    assert len(studies.notes) == 2 and read_labels_csv(path, ("A",)).notes == ()


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("file,patient,X\na,1,1\n", {}, "name it with --image-column"),
        ("path,X\na.png,1\n", {}, "name it with --patient-column"),
        ("path,patient,X\na,1,high\n", {}, "name the label columns with --label-columns"),
        ("path,patient,X\na,1,high\n", {"label_columns": ("X",)}, r"column X: .* Found: 1 \(first: high\)"),
        ("path,patient,X\na,1,1\n", {"label_columns": ("Z",)}, r"lacks the column\(s\) Z"),
        ("path,patient,X\na,1,1\na,2,1\n", {}, r"different labels or patients for the same image: 1 \(first: a\)"),
        ("path,patient,X\na,1,1\na,1,\n", {}, r"different labels or patients for the same image: 1 \(first: a\)"),
        ("path,patient,X\n../a,1,1\n", {}, "leave the data folder"),
        ("path,patient,X,X\na,1,1,1\n", {"label_columns": ("X",)}, "X are there, or asked for, more than once"),
        ("path,patient,row\na,1,1\n", {}, "cannot be called row"),
        ("path,patient,patient,X\na,1,1,1\n", {}, "patient are there, or asked for, more than once"),
        ("path,patient,Age,Age,X\na,1,1,1,1\n", {}, "Age are there, or asked for, more than once"),
        ("path,patient,Sex,Sex,X\na,1,M,M,1\n", {}, "Sex are there, or asked for, more than once"),
    ],
)
def test_tables_that_are_refused(table, text, options, words):
    with pytest.raises(ValueError, match=words):
        read_labels_csv(table(text), **options)


def test_one_row_a_box(table):
    rows = ["a.png,1,10,1", "a.png,1,30,1", "a.png,1,50,1.0", "b.png,2,,0"]
    studies = read_labels_csv(table("\n".join(["path,patient,x,Target", *rows]) + "\n"), ("Target",))
    assert studies.table[["image", "Target"]].to_numpy().tolist() == [["a.png", 1], ["b.png", 0]]
    assert studies.notes == ("images with more than one row of the same labels, counted once: 1 (first: a.png)",)
    rows += ["c.png,3,,1", "c.png,3,,0"]
    with pytest.raises(ValueError, match=r"same image: 1 \(first: c\.png\)"):
        read_labels_csv(table("\n".join(["path,patient,x,Target", *rows]) + "\n"), ("Target",))


@pytest.mark.parametrize(("blank", "auroc", "images"), [("mask", 0.75, 4), ("negative", 0.5, 5)])
def test_labels_of_a_table_to_a_score(table, blank, auroc, images):
    rows = [f"{name}.png,{name},{label}" for name, label in zip("abcdef", ["1", "0", "-1", "", "1", "0"], strict=True)]
    studies = read_labels_csv(table("\n".join(["path,patient,X", *rows]) + "\n"), blank=blank)
    scores = np.array([[0.9], [0.2], [0.1], [0.95], [0.7], [0.8]])
    metrics = per_finding(studies.table[["X"]].to_numpy(), scores, ["X"])["X"]
    assert (metrics["auroc"], metrics["images"], metrics["masked"]) == (auroc, images, 6 - images)

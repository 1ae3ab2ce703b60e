import numpy as np
import pytest

from mamsf_keras.config import DataConfig, LabelsCsv
from mamsf_keras.data.readers import labels_csv
from mamsf_keras.evaluation.metrics import per_finding

pytestmark = pytest.mark.no_keras

CHEXPERT = """Path,Sex,Age,Frontal/Lateral,AP/PA,Edema,Fracture
small/train/patient00001/study1/view1_frontal.jpg,Female,68,Frontal,AP,1.0,
small/train/patient00001/study2/view1_frontal.jpg,Female,69,Frontal,AP,-1.0,0.0
small/train/patient00002/study1/view1_frontal.jpg,Male,87,Frontal,PA,,1.0
"""


@pytest.fixture
def read(tmp_path):
    """A function that writes a table and reads it as a data set."""

    def read(text, **options):
        (tmp_path / "labels.csv").write_text(text)
        config = DataConfig(tmp_path, labels_csv=LabelsCsv(tmp_path / "labels.csv", **options), protocol=None)
        assert labels_csv.recognizes(config)
        return labels_csv.read(config)

    return read


def test_chexpert_table_is_read(read):
    dataset = read(CHEXPERT)
    assert dataset.findings == ("Edema", "Fracture") and dataset.kind == "labels_csv"
    assert dataset.table["patient"].tolist() == ["patient00001", "patient00001", "patient00002"]
    assert dataset.table["age"].tolist() == [68, 69, 87] and dataset.table["view"].tolist() == ["AP", "AP", "PA"]
    np.testing.assert_array_equal(dataset.table[["Edema", "Fracture"]], [[1, np.nan], [np.nan, 0], [np.nan, 1]])


@pytest.mark.parametrize(
    ("blank", "uncertain", "expected"),
    [
        ("negative", "mask", [[1, 0], [np.nan, 0], [0, 1]]),
        ("mask", "positive", [[1, np.nan], [1, 0], [np.nan, 1]]),
        ("negative", "negative", [[1, 0], [0, 0], [0, 1]]),
    ],
)
def test_blank_and_uncertain_labels_are_read_as_configured(read, blank, uncertain, expected):
    dataset = read(CHEXPERT, blank=blank, uncertain=uncertain)
    np.testing.assert_array_equal(dataset.table[["Edema", "Fracture"]], expected)


def test_named_columns_and_equal_base_names_in_two_folders(read):
    text = "who,file,view,X,Y\n1,a/0.png,PA,1,0\n2,b/0.png,PA,0,1\n"
    dataset = read(text, label_columns=("Y",), image_column="file", patient_column="who")
    assert dataset.findings == ("Y",) and dataset.table["image"].tolist() == ["a/0.png", "b/0.png"]


def test_age_in_other_units_and_odd_ages(read):
    rows = [f"{i}.png,{i},{i % 2},{age}" for i, age in enumerate(["58", "006M", "10 days", "90+", ""])]
    dataset = read("\n".join(["path,patient,X,Age", *rows]) + "\n")
    assert dataset.table["age"][:3].tolist() == [58, 0.5, 10 / 365.25] and dataset.table["age"][3:].isna().all()
    assert dataset.notes == ("ages that cannot be parsed and count as missing: 1 (such as 90+)",)


def test_columns_and_findings_may_be_spelled_in_another_way(read):
    text = "IMAGE_ID,PatientId,AGE,Gender,Pleural Effusion,No finding\na.png,1,50,1,1,0\nb.png,2,60,0,0,1\n"
    dataset = read(text)
    assert dataset.findings == ("Pleural Effusion", "No finding")  # and not Gender
    assert dataset.table[["image", "patient", "age", "sex"]].to_numpy().tolist() == [
        ["a.png", "1", 50, "1"],
        ["b.png", "2", 60, "0"],
    ]
    assert read(text, label_columns=("pleural_effusion",)).findings == ("Pleural Effusion",)
    with pytest.raises(ValueError, match=r"lacks the column\(s\) Plural Effusion \(did you mean Pleural Effusion\?\)"):
        read(text, label_columns=("Plural Effusion",))
    with pytest.raises(ValueError, match="several columns for the same finding: normal, No finding. Choose one"):
        read(text.replace("Gender", "normal"))


def test_labels_that_are_written_as_missing_are_blank(read):
    rows = [f"{i}.png,{i},{label}" for i, label in enumerate(["1", "0", "NA", "null", "None", "NaN", "N/A", "-1"])]
    dataset = read("\n".join(["path,patient,X", *rows]) + "\n", blank="negative")
    np.testing.assert_array_equal(dataset.table["X"], [1, 0, 0, 0, 0, 0, 0, np.nan])


def test_columns_that_look_like_labels_but_are_not_used_are_noted(read):
    text = "path,patient,A,B,C,age\na,1,1,1?,-1,60\nb,2,0,0,,61\nc,3,1,1,-1,50\n"
    dataset = read(text)
    assert dataset.findings == ("A",)
    assert "cells such as '1?': B" in dataset.notes[0] and "no positive label: C" in dataset.notes[1]
    assert len(dataset.notes) == 2 and read(text, label_columns=("A",)).notes == ()
    notes = read("path,patient,A,B,B,C,D\na,1,1,1,1,,NA\nb,2,0,0,0,,\n").notes
    assert [note.partition(" (set")[0] for note in notes] == [
        "column not used as a finding, several columns with this name: B",
        "column not used as a finding, all blank: C",
        "column not used as a finding, all blank: D",
    ]


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("file,patient,X\na,1,1\n", {}, "Set `image_column`"),
        ("path,X\na.png,1\n", {}, "Set `patient_column`"),
        ("path,patient,X\na,1,high\n", {}, "Set `label_columns`"),
        ("path,patient,X\na,1,high\n", {"label_columns": ("X",)}, r"column X: .* Found: 1 \(first: high\)"),
        ("path,patient,X\na,1,1\n", {"label_columns": ("Z",)}, r"lacks the column\(s\) Z"),
        ("path,patient,X\na,1,1\na,2,1\n", {}, r"different labels or patients for the same image: 1 \(first: a\)"),
        ("path,patient,X\na,1,1\na,1,\n", {}, r"different labels or patients for the same image: 1 \(first: a\)"),
        ("path,patient,X\n../a,1,1\n", {}, "outside the data folder"),
        ("path,patient,X,X\na,1,1,1\n", {"label_columns": ("X",)}, r"column\(s\) X more than once"),
        ("path,patient,row\na,1,1\n", {}, "cannot be named row"),
        ("path,patient,X\na,NA,1\nb,NA,0\n", {}, r"written as missing: 2 \(first: a has NA, b has NA\)"),
        ('path,patient,X,Y\na,1,1,"see\nb,2,1,12"\n', {}, "line 2: a quoted field does not end until line 3"),
        ("path;patient;X\na;1;1\n", {}, "separates its columns with semicolons"),
        ("path,patient,patient,X\na,1,1,1\n", {}, r"column\(s\) patient occur more than once"),
        ("path,patient,Age,Age,X\na,1,1,1,1\n", {}, r"column\(s\) Age occur more than once"),
        ("path,patient,Sex,Sex,X\na,1,M,M,1\n", {}, r"column\(s\) Sex occur more than once"),
    ],
)
def test_faulty_table_is_refused(read, text, options, words):
    with pytest.raises(ValueError, match=words):
        read(text, **options)


def test_rows_of_several_boxes_become_one_image(read):
    rows = ["a.png,1,10,1", "a.png,1,30,1", "a.png,1,50,1.0", "b.png,2,,0"]
    dataset = read("\n".join(["path,patient,x,Target", *rows]) + "\n", label_columns=("Target",))
    assert dataset.table[["image", "Target"]].to_numpy().tolist() == [["a.png", 1], ["b.png", 0]]
    assert dataset.notes == ("images in several rows with the same labels, counted once: 1 (first: a.png)",)
    rows += ["c.png,3,,1", "c.png,3,,0"]
    with pytest.raises(ValueError, match=r"same image: 1 \(first: c\.png\)"):
        read("\n".join(["path,patient,x,Target", *rows]) + "\n", label_columns=("Target",))


@pytest.mark.parametrize(("blank", "auroc", "images"), [("mask", 0.75, 4), ("negative", 0.5, 5)])
def test_missing_labels_are_left_out_of_the_score(read, blank, auroc, images):
    rows = [f"{name}.png,{name},{label}" for name, label in zip("abcdef", ["1", "0", "-1", "", "1", "0"], strict=True)]
    dataset = read("\n".join(["path,patient,X", *rows]) + "\n", blank=blank)
    scores = np.array([[0.9], [0.2], [0.1], [0.95], [0.7], [0.8]])
    metrics = per_finding(dataset.table[["X"]].to_numpy(), scores, ["X"])["X"]
    assert (metrics["auroc"], metrics["images"], metrics["masked"]) == (auroc, images, 6 - images)


def test_images_are_found_by_their_path_below_the_data_folder(read, tmp_path):
    for name in ("a/0.png", "b/0.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    dataset = read("path,patient,X\na/0.png,1,1\nb/0.png,2,0\n")
    assert dataset.resolved.table["path"].tolist() == [str(tmp_path / "a" / "0.png"), str(tmp_path / "b" / "0.png")]
    dataset = read("path,patient,X\na/0.png,1,1\n0.png,2,0\n")
    with pytest.raises(ValueError, match=r"1 of 2 images of the table are not in .* \(first: 0.png\)"):
        _ = dataset.resolved


def test_missing_folder_or_table_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="data folder .*nowhere does not exist"):
        labels_csv.read(DataConfig(tmp_path / "nowhere", labels_csv=tmp_path / "labels.csv"))
    with pytest.raises(FileNotFoundError, match="labels.csv does not exist"):
        labels_csv.read(DataConfig(tmp_path, labels_csv=tmp_path / "labels.csv"))

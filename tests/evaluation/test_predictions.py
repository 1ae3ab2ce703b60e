import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from mamsf_keras.data.dataset import Dataset
from mamsf_keras.evaluation.predictions import Predictions

pytestmark = pytest.mark.no_keras


def predictions(probabilities, labels, findings=("A",), **columns):
    """Predictions of images "0", "1" and so on, each of a different patient."""
    names = [str(row) for row in range(len(probabilities))]
    table = pd.DataFrame({"image": names, "patient": names, **columns})
    return Predictions(table, tuple(findings), np.asarray(probabilities, float), np.asarray(labels, float))


def test_file_holds_nine_digits_and_blanks_for_missing_labels(tmp_path):
    table = pd.DataFrame(
        {"image": ["a.png", "b.png"], "patient": ["1", "2"], "age": [50, np.nan], "sex": ["", ""], "view": ["PA", ""]}
    )
    dataset = Dataset(table.assign(Mass=[1, 0], Edema=[np.nan, 1]), ("Mass", "Edema"), store=None, is_resolved=True)
    Predictions.of(dataset, np.array([[0.123456789123, 0.5], [1e-7, 0.25]])).write(tmp_path / "p.csv")
    assert (tmp_path / "p.csv").read_text() == (
        "image,patient,age,view,Mass,Edema,Mass_label,Edema_label\n"
        "a.png,1,50,PA,0.123456789,0.5,1,\nb.png,2,,,1e-07,0.25,0,1\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["p.csv"]


def test_file_is_read_as_it_was_written(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.where(rng.random((500, 2)) < 0.1, np.nan, rng.integers(0, 2, (500, 2)))
    values = rng.random((500, 2)).astype(np.float32)
    values[1::2] = np.nextafter(values[::2], np.float32(1))
    written = predictions(values, labels, ("A", "B c"), age=rng.integers(1, 90, 500), sex="F")
    written.write(tmp_path / "p.csv")
    read = Predictions.read(tmp_path / "p.csv")
    np.testing.assert_array_equal(read.probabilities.astype(np.float32), values)
    np.testing.assert_array_equal(read.labels, labels)
    assert read.findings == ("A", "B c") and read.table["age"].tolist() == written.table["age"].tolist()
    assert read.table[["image", "patient", "sex"]].equals(written.table[["image", "patient", "sex"]])


def test_the_file_keeps_the_order_that_three_decimals_lose(tmp_path):
    rng = np.random.default_rng(0)
    probabilities = expit(np.concatenate([rng.normal(-7, 1.2, 86), rng.normal(-9, 1.2, 25_510)])).astype(np.float32)
    labels = np.repeat([1.0, 0.0], [86, 25_510])
    predictions(probabilities[:, None], labels[:, None]).write(tmp_path / "p.csv")
    read = Predictions.read(tmp_path / "p.csv")
    exact = roc_auc_score(labels, probabilities)
    assert exact == pytest.approx(0.8962, abs=5e-5)
    assert roc_auc_score(labels, read.probabilities[:, 0]) == exact
    assert roc_auc_score(labels, probabilities.round(3)) == pytest.approx(0.8036, abs=5e-5)


@pytest.mark.parametrize(
    "rows, message",
    [
        ("image,A\na,0.5\na,0.6\n", "more than one row for the same image: 1 .first: a."),
        (
            "image,A\na,\nb,0.1\n",
            "column A: a probability must be a finite number. Images without one: 1",
        ),
        ("image,A\na,nan\n", "a probability must be a finite number"),
        ("image,A\na,inf\n", "a probability must be a finite number"),
        ("image,A\na,0.5\nb,-1.25\n", "must be in .0, 1.. Received: -1.25 for the image b. If these are logits"),
        ("image,patient\na,1\n", "has no column of probabilities"),
        ("image,A,A\na,0.1,0.2\n", "has the column.s. A more than once"),
        ("image,A,A_label\na,0.1,-1\n", "column A_label: a label must be 1, 0 or blank. Found: -1."),
        ("image,patient,A\na,NA,0.5\n", "has images without a patient: 1 .first: a."),
        ("picture,A\na,0.5\n", "lacks the column.s. image"),
    ],
)
def test_unusable_files_are_refused_by_name(tmp_path, rows, message):
    (tmp_path / "p.csv").write_text(rows)
    with pytest.raises(ValueError, match=message):
        Predictions.read(tmp_path / "p.csv")


def test_patients_age_sex_and_view_are_found_under_the_names_of_label_tables(tmp_path):
    text = "image,subject_id,Patient Age,PatientSex,projection,covid_positive,COVID_positive_label\n"
    (tmp_path / "p.csv").write_text(text + "a,1,058Y,F,,0.5,1\nb,1,1500,M,,0.25,0\n")
    read = Predictions.read(tmp_path / "p.csv")
    assert read.findings == ("covid_positive",) and read.labels.ravel().tolist() == [1, 0]
    assert read.patients.tolist() == ["1", "1"] and read.has_patients
    assert read.table["age"].tolist() == [58, 1500] and list(read.table) == ["image", "patient", "age", "sex"]
    assert read.notes == ("ages above 120 years: 1 (such as 1500)",)


def test_columns_without_labels_are_left_out_beside_labeled_ones_with_a_note(tmp_path):
    (tmp_path / "p.csv").write_text("image,A,height,A_label\na,.5,170,1\nb,.25,180,0\n")
    read = Predictions.read(tmp_path / "p.csv", labeled_only=True)
    assert read.findings == ("A",) and not read.has_patients
    assert read.notes == ("columns without a NAME_label column, left out: height",)
    with pytest.raises(ValueError, match="height.*Received: 170.*percentages, divide them by 100.*remove it"):
        Predictions.read(tmp_path / "p.csv")


def test_rows_are_taken_by_mask_or_index():
    all_rows = predictions([[0.1], [0.2], [0.3]], [[0], [1], [0]])
    for rows in (np.array([False, True, True]), np.array([1, 2])):
        taken = all_rows.take(rows)
        assert taken.patients.tolist() == ["1", "2"] and taken.probabilities.ravel().tolist() == [0.2, 0.3]

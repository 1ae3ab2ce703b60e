import pytest

from mamsf_keras.evaluation.prediction_columns import PredictionColumns

pytestmark = pytest.mark.no_keras


def columns_of(header):
    return PredictionColumns.of(header.split(","), "p.csv")


def test_columns_that_follow_from_probabilities_are_left_out_only_beside_them():
    columns = columns_of("image,covid_positive,Mass,Mass_calibrated,mass_positive,X_calibrated")
    assert list(columns.labels) == ["covid_positive", "Mass", "X_calibrated"]


def test_labels_belong_to_findings_in_any_spelling():
    columns = columns_of("image,Hernia,hernia_label,Pleural Thickening,pleural_thickening_label,Mass")
    assert columns.labels == {
        "Hernia": "hernia_label",
        "Pleural Thickening": "pleural_thickening_label",
        "Mass": None,
    }


@pytest.mark.parametrize("name", ["patient", "patient_id", "subject_id", "Patient ID"])
def test_names_of_the_label_reader_are_not_findings(name):
    columns = columns_of(f"image,{name},PatientSex,Patient Age,View Position,Mass")
    assert columns.properties == {"patient": name, "sex": "PatientSex", "age": "Patient Age", "view": "View Position"}
    assert list(columns.labels) == ["Mass"]


@pytest.mark.parametrize(
    "header, message",
    [
        ("image,patient", "p.csv has no column of probabilities"),
        ("image,A,A", "more than one column for A: A, A"),
        ("image,Mass,mass", "more than one column for Mass: Mass, mass"),
        ("image,A,A_label,a_label", "more than one column for A_label: A_label, a_label"),
        ("image,Mass,Hernia_label", "labels without a column of probabilities: Hernia."),
        ("image,Hernai,Hernia_label", "labels without a column of probabilities: Hernia .did you mean Hernai.."),
    ],
)
def test_ambiguous_columns_are_refused_by_name(header, message):
    with pytest.raises(ValueError, match=message):
        columns_of(header)

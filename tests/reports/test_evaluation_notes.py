import pytest

from mamsf_keras.reports.evaluation_notes import (
    calibration_gaps,
    operating_point_gaps,
    protocol_facts,
    published_gap,
    score_gaps,
)
from tests.reports.test_evaluation import evaluated
from tests.reports.test_published import official_summary

pytestmark = pytest.mark.no_keras


def row(by_patient, by_image, auroc=0.8, **more):
    return {"auroc": auroc, "auroc_interval": by_patient, "auroc_interval_images": by_image, **more}


def test_every_missing_score_has_its_reason():
    rows = {
        "A": row(None, None, None, positives=0, images=8, masked=2),
        "B": row(None, [0.1, 0.2], positive_patients=7, negative_patients=40, masked=0),
        "C": row(None, None, 1.0, positive_patients=30, negative_patients=40, masked=0),
        "D": row(None, [0.1, 0.2], positive_patients=30, negative_patients=9, masked=0),
        "E": row(None, None, 0.5, positive_patients=30, negative_patients=40, masked=0),
    }
    assert score_gaps({"findings": rows}) == [
        "Undefined, because all or none of the images have the finding: A (0 of 8 positive).",
        "Images without a label, left out: A (2).",
        "No patient-level interval with fewer than 10 positive or 10 negative patients: "
        "B (7 positive), D (9 negative).",
        "No interval for an AUROC of exactly 0 or 1: C.",
        "No interval where all resamples agree, as for equal scores: E.",
    ]
    assert len(score_gaps({"findings": rows}, intervals=False)) == 2


def test_missing_calibration_and_operating_points_have_their_reason():
    summary = evaluated()[0]
    assert calibration_gaps(summary)[0].startswith("No calibrated probabilities for Edema: the validation labels")
    assert calibration_gaps(summary)[1].startswith("No slope for Edema:")
    assert operating_point_gaps(summary)[0].startswith("No threshold for Edema:")
    summary = evaluated(calibrated=False)[0]
    assert calibration_gaps(summary)[0].startswith("No calibration was applied")
    assert operating_point_gaps(summary)[0].startswith("No operating points")


def test_a_calibration_that_reverses_the_scores_is_named():
    cells = {"brier": 0.1, "calibration_slope": 1.0, "calibrated": {"calibration_slope": -2.9}}
    [note] = calibration_gaps({"findings": {"Nodule": cells}, "calibrated": True})
    assert note.startswith("The calibration reverses the scores of Nodule")


def test_protocol_lists_known_facts():
    summary, _, _ = evaluated(fingerprint={"images": 2600, "sha256": "ab"}, model_sha256="cd")
    facts = protocol_facts(summary)
    assert facts["Protocol"] == "official" and facts["Patients in more than one split"] == "0"
    assert facts["Data fingerprint"] == "2,600 images in all splits, SHA-256 ab" and facts["Versions"] == "numpy 2"
    assert facts["Model checksum"] == "SHA-256 cd" and "Predictions" not in facts
    del summary["patient_overlap"]
    assert protocol_facts(summary)["Patients in more than one split"] == "not known"


def test_protocol_lists_the_settings_of_a_predictions_file():
    settings = {"labels": "l.csv", "labels_sha256": "ab", "blank": "negative", "uncertain": "mask"}
    calibration = {"path": "c.json", "sha256": "cd", "model_sha256": "ef"}
    summary, _, _ = evaluated(**settings, calibration=calibration, given_prevalence={"Hernia": 0.002, "": 0.01})
    facts = protocol_facts(summary)
    assert facts["Labels"] == "l.csv" and facts["Labels checksum"] == "SHA-256 ab"
    assert facts["Blank labels"] == "counted as negative" and facts["Uncertain labels"] == "left out"
    assert facts["Calibration"] == "applied, fitted on the validation split, c.json"
    assert facts["Calibration checksum"] == "SHA-256 cd" and facts["Model of the calibration"] == "SHA-256 ef"
    assert facts["PPV is also given at"] == "prevalence 0.002 of Hernia, prevalence 0.01 of all other findings"
    summary["calibration"]["model_sha256"] = None
    assert protocol_facts(summary)["Model of the calibration"] == "not recorded"


def test_published_results_are_explained_or_shown():
    assert published_gap(official_summary()) is None
    assert published_gap(official_summary() | {"patients": 172}).endswith("Here there are 172 patients.")

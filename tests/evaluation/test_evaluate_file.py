import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mamsf_keras.config import LabelsCsv
from mamsf_keras.evaluation.calibration import fit_calibration
from mamsf_keras.evaluation.evaluate_file import evaluate_file
from mamsf_keras.evaluation.join import NO_PATIENTS
from mamsf_keras.storage import checksum
from tests.evaluation.test_predictions import predictions

pytestmark = pytest.mark.no_keras


def write_predictions(path, images=200):
    rng = np.random.default_rng(0)
    labels = (rng.random((images, 2)) < 0.3).astype(float)
    scores = rng.random((images, 2)) * 0.5 + labels * 0.3
    rows = predictions(scores, labels, ("Mass", "Hernia"))
    rows.write(path)
    return rows


def test_results_are_complete_and_not_replaced_unless_asked(tmp_path):
    rows = write_predictions(tmp_path / "p.csv")
    summary = evaluate_file(tmp_path / "p.csv", None, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == summary
    assert summary["mean_auroc"] == pytest.approx(roc_auc_score(rows.labels, rows.probabilities))
    assert not summary["calibrated"] and summary["findings"]["Hernia"]["group"] == "tail"
    report = (tmp_path / "out" / "report.html").read_text()
    assert "No images are shown" in report and "data:image/svg+xml" in report and "No operating points" in report
    assert "| Hernia |" in (tmp_path / "out" / "metrics.md").read_text()
    for name in ("metrics.json", "metrics.md", "report.html"):
        with pytest.raises(FileExistsError, match=f"{name} already exists. Choose another `out`, or use `overwrite`."):
            evaluate_file(tmp_path / "p.csv", None, tmp_path / "out")
        (tmp_path / "out" / name).unlink()
    (tmp_path / "out" / "report.html").touch()
    assert evaluate_file(tmp_path / "p.csv", None, tmp_path / "out", overwrite=True) == summary


def test_equal_scores_are_evaluated(tmp_path):
    """A model that has collapsed: AUROC 0.5 and the prevalence as average precision, and no zero-width intervals."""
    labels = (np.arange(200)[:, None] % [4, 10] == 0).astype(float)
    predictions(np.full((200, 2), 0.5), labels, ("Mass", "Hernia")).write(tmp_path / "p.csv")
    summary = evaluate_file(tmp_path / "p.csv", None, tmp_path / "out")
    for name, prevalence in (("Mass", 0.25), ("Hernia", 0.1)):
        row = summary["findings"][name]
        assert row["auroc"] == 0.5 and row["average_precision"] == pytest.approx(prevalence)
        assert row["auroc_interval"] is row["auroc_interval_images"] is row["calibration_slope"] is None
    report = (tmp_path / "out" / "report.html").read_text()
    assert "No interval where all resamples agree, as for equal scores: Mass, Hernia." in report
    assert "(0.500" not in report


def test_calibration_is_read_and_never_changed(tmp_path):
    rows = write_predictions(tmp_path / "p.csv")
    fit_calibration(rows.labels, rows.probabilities, rows.findings, rows.patients).save(tmp_path / "c.json")
    before = (tmp_path / "c.json").read_bytes()
    summary = evaluate_file(tmp_path / "p.csv", None, tmp_path / "out", calibration=tmp_path / "c.json")
    assert summary["calibrated"] and summary["findings"]["Mass"]["operating_points"]["youden"]["sensitivity"] > 0.5
    assert (tmp_path / "c.json").read_bytes() == before


def test_settings_and_notes_are_in_the_results(tmp_path):
    rows = write_predictions(tmp_path / "p.csv")
    names = ("Mass", "hernia")
    fit_calibration(rows.labels, rows.probabilities, names, rows.patients, "ab").save(tmp_path / "c.json")
    cells = "".join(f"{i},{a:.0f},{b:.0f}\n" for i, (a, b) in enumerate(rows.labels))
    (tmp_path / "l.csv").write_text(f"image,mass,HERNIA\n{cells}z,1,-1\n")
    labels = LabelsCsv(str(tmp_path / "l.csv"), uncertain="positive")
    (tmp_path / "q.csv").write_text((tmp_path / "p.csv").read_text().replace("patient", "view"))
    summary = evaluate_file(
        tmp_path / "q.csv", labels, tmp_path / "out", calibration=tmp_path / "c.json", prevalence={"Hernia": 0.01}
    )
    assert (summary["labels"], summary["blank"], summary["uncertain"]) == (labels.path, "mask", "positive")
    assert summary["labels_sha256"] == checksum(labels.path)
    assert summary["calibration"] == {
        "path": str(tmp_path / "c.json"),
        "sha256": checksum(tmp_path / "c.json"),
        "model_sha256": "ab",
    }
    assert summary["notes"] == ["labeled images without a prediction, left out: 1 (first: z)", NO_PATIENTS]
    assert not summary["patients_known"] and summary["given_prevalence"] == {"hernia": 0.01}
    assert set(summary["findings"]) == set(names) and summary["findings"]["hernia"]["group"] == "tail"
    assert summary["findings"]["hernia"]["operating_points"]["youden"]["ppv_at_prevalence"] > 0
    report = (tmp_path / "out" / "report.html").read_text()
    assert "counted as positive" in report and "left out: 1 (first: z)" in report and "c.json" in report


def test_prevalence_is_refused_where_it_would_be_ignored(tmp_path):
    rows = write_predictions(tmp_path / "p.csv")
    with pytest.raises(ValueError, match="`prevalence` needs a calibration"):
        evaluate_file(tmp_path / "p.csv", None, tmp_path / "out", prevalence={"": 0.1})
    fit_calibration(rows.labels, rows.probabilities, rows.findings, rows.patients).save(tmp_path / "c.json")
    with pytest.raises(ValueError, match="unknown finding Hernai .did you mean Hernia.."):
        evaluate_file(
            tmp_path / "p.csv", None, tmp_path / "out", calibration=tmp_path / "c.json", prevalence={"Hernai": 0.1}
        )
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_if_the_files_do_not_fit(tmp_path):
    write_predictions(tmp_path / "p.csv")
    (tmp_path / "labels.csv").write_text("image,patient,Mass\n0,0,1\n1,1,0\n")
    with pytest.raises(ValueError, match="has images without labels"):
        evaluate_file(tmp_path / "p.csv", tmp_path / "labels.csv", tmp_path / "out")
    assert not (tmp_path / "out").exists()

import json

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mamsf_keras.evaluation.calibration import fit_calibration
from mamsf_keras.evaluation.evaluate_file import evaluate_file
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
    with pytest.raises(FileExistsError, match="metrics.json already exists. Choose another `out`, or use `overwrite`."):
        evaluate_file(tmp_path / "p.csv", None, tmp_path / "out")
    assert evaluate_file(tmp_path / "p.csv", None, tmp_path / "out", overwrite=True) == summary


def test_equal_scores_are_evaluated(tmp_path):
    """A model that has collapsed: AUROC 0.5 and the prevalence as average precision, without intervals of no width."""
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


def test_nothing_is_written_if_the_files_do_not_fit(tmp_path):
    write_predictions(tmp_path / "p.csv")
    (tmp_path / "labels.csv").write_text("image,patient,Mass\n0,0,1\n1,1,0\n")
    with pytest.raises(ValueError, match="has images without labels"):
        evaluate_file(tmp_path / "p.csv", tmp_path / "labels.csv", tmp_path / "out")
    assert not (tmp_path / "out").exists()

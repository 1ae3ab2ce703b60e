import pytest

from mamsf_keras.reports.score_text import interval_text, mean_name, score_text

pytestmark = pytest.mark.no_keras


def test_score_has_its_interval_if_there_is_one():
    row = {"auroc": 0.84126, "auroc_interval": [0.79, 0.88249], "ppv": 0.5, "ppv_interval": None, "brier": None}
    assert score_text(row, "auroc") == "0.841 (0.790–0.882)"
    assert score_text(row, "auroc", digits=4) == "0.8413 (0.790–0.882)"
    assert score_text(row, "ppv") == "0.500" and score_text(row, "brier") == "–"


def test_missing_interval_is_a_dash():
    assert interval_text(None) == "–" and interval_text((0.1, 0.25)) == "0.100–0.250"


def test_means_have_display_names():
    assert [mean_name(name) for name in ("macro", "tail", "micro")] == ["mean of all", "mean of tail", "micro average"]

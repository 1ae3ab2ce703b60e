import re

import numpy as np
import pytest
from huggingface_hub import ModelCard

from mamsf_keras.evaluation.calibration import fit_calibration
from mamsf_keras.evaluation.summary import summarize_predictions
from mamsf_keras.export.card_text import card_text
from tests.evaluation.test_predictions import predictions

pytestmark = pytest.mark.no_keras

CARD = {
    "model_sha256": "abc",
    "data": {"source": "Generated phantoms", "protocol": "official"},
    "training": {"backbone": "toy"},
    "environment": {"backend": "jax"},
    "operating_point": "youden",
    "uncalibrated": {"calibrated": [], "positive": ["B"]},
    "evaluation": None,
}


@pytest.fixture(scope="module")
def evaluated():
    rng = np.random.default_rng(0)
    labels = (rng.random((200, 2)) < [0.3, 0.0]).astype(float)
    scores = 1 / (1 + np.exp(-rng.normal(size=(200, 2)) - labels))
    rows = predictions(scores, labels, ("A", "B"), sex=rng.choice(["F", "M"], 200))
    calibration = fit_calibration(rows.labels, rows.probabilities, rows.findings, rows.patients)
    groups = {"A": "head", "B": "tail"}
    summary = summarize_predictions(rows, calibration=calibration, groups=groups, resamples=50)
    return {**CARD, "evaluation": {**summary, "protocol": "official", "split": "test"}}


def test_hugging_face_reads_the_metadata(evaluated):
    card = ModelCard(card_text(evaluated, "toy-1", "the table"))
    assert card.data.library_name == "keras" and "not-a-medical-device" in card.data.tags
    assert card.data.license == "other"  # that of the data is not known, and Apache-2.0 is that of the software
    assert re.fullmatch("[a-z0-9.-]+", card.data.license_name) and "terms of the training data" in card.text
    auroc, precision = card.data.eval_results
    assert auroc.metric_value == evaluated["evaluation"]["mean_auroc"] and auroc.metric_type == "roc_auc"
    assert precision.metric_value == evaluated["evaluation"]["mean_average_precision"]


def test_text_has_results_with_intervals_subgroups_and_what_is_missing(evaluated):
    text = card_text(evaluated, "toy-1", "| the table |")
    row = evaluated["evaluation"]["findings"]["A"]
    low, high = row["auroc_interval"]
    assert f"| A | {row['positives']} | {row['auroc']:.3f} ({low:.3f}–{high:.3f}) |" in text
    threshold = row["operating_points"]["youden"]["threshold"]
    assert f"{threshold:.3f}" in text and "| B | 0 | – | – | – | – | – |" in text
    assert "Without threshold (never positive): B." in text and "| sex F |" in text and "| the table |" in text
    assert "Not a medical device" in text and "`abc`" in text


def test_card_without_evaluation_says_so_and_still_names_what_is_missing():
    text = card_text({**CARD, "uncalibrated": {"calibrated": ["C"], "positive": ["B", "C"]}}, "toy-1", "")
    results = text.split("## Results")[1].split("## ")[0]
    assert "Not evaluated." in results and ModelCard(text).data.eval_results is None
    assert "Without calibrated probability (NaN): C." in results
    assert "Without threshold (never positive): B, C." in results
    text = card_text({**CARD, "uncalibrated": None}, "toy-1", "")
    assert "Not evaluated." in text and "The run has no calibration" in text

import json
from types import SimpleNamespace

import pytest

from mamsf_keras import RunDir, open_dataset
from mamsf_keras.evaluation.run_data import open_run_data, trained_fingerprint, with_findings_of
from tests.runs import toy_config


def test_findings_are_in_the_order_of_the_model_and_others_are_left_out(small_nih, caplog):
    opened = open_run_data(toy_config(small_nih)).split("test")
    predictor = SimpleNamespace(findings=("Mass", "Effusion", "Hernia"))
    with caplog.at_level("INFO", "mamsf_keras"):
        dataset = with_findings_of(predictor, opened)
    assert (
        "findings left out because the model does not have them: Atelectasis, Cardiomegaly, Infiltration" in caplog.text
    )
    assert dataset.findings == predictor.findings and dataset.labels.shape == (24, 3)
    with pytest.raises(ValueError, match="no labels for Scurvy"):
        with_findings_of(SimpleNamespace(findings=("Mass", "Scurvy")), opened)


def test_fingerprint_of_the_training_data_is_read_and_is_that_of_the_same_data_opened_again(small_nih, tmp_path):
    with RunDir.create(tmp_path / "run", toy_config(small_nih)) as run:
        run.environment.write_text(json.dumps({"data": open_dataset(small_nih).fingerprint}))
    assert trained_fingerprint(run) == open_run_data(run.config).fingerprint

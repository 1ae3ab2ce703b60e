import json

import keras
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from mamsf_keras import MAMSFNet, RunDir, evaluate, open_dataset
from mamsf_keras.evaluation.evaluate import best_model, open_split
from tests.runs import toy_config
from tests.toys import toy_backbone


@pytest.fixture
def run(small_nih, tmp_path):
    """A run folder with a model that was not trained: evaluation cannot tell."""
    config = toy_config(small_nih)
    with RunDir.create(tmp_path / "run", config) as run:
        keras.utils.set_random_seed(0)
        MAMSFNet(toy_backbone(32), ("Mass", "Effusion", "Hernia")).save(run.model("best"))
    return run


def test_metrics_are_those_of_scikit_learn_on_the_file_of_predictions(run, small_nih):
    summary = evaluate(run.path)
    assert summary == json.loads(run.metrics("test").read_text())
    frame = pd.read_csv(run.predictions("test"))
    assert frame["image"].tolist() == open_dataset(small_nih).split("test").table["image"].tolist()
    for name in ("Mass", "Effusion"):
        row, labels, scores = summary["findings"][name], frame[f"{name}_label"], frame[name]
        assert row["auroc"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
        assert row["average_precision"] == pytest.approx(average_precision_score(labels, scores), abs=1e-12)
    assert summary["undefined"] == ["Hernia"] and summary["images"] == 24 and summary["patients"] == 12


def test_probabilities_are_those_of_the_model_on_the_images_by_hand(run, small_nih):
    evaluate(run.path, split="validation")
    dataset = open_dataset(small_nih).split("validation")
    read = dataset.open_images(32)
    images = np.stack([read(row) for row in range(len(dataset.table))])[..., None]
    model = keras.saving.load_model(run.model("best"))
    expected = keras.ops.convert_to_numpy(model(images.astype("float32"), training=False))
    frame = pd.read_csv(run.predictions("validation"))
    np.testing.assert_allclose(frame[list(model.findings)], expected, atol=1e-6)


def test_split_is_checked_and_findings_are_in_the_order_of_the_model(run):
    with pytest.raises(ValueError, match="`split` must be one of train, validation, test. Received: val."):
        evaluate(run.path, split="val")
    dataset = open_split(run.config, "test", best_model(run).findings)
    assert dataset.findings == ("Mass", "Effusion", "Hernia")
    assert dataset.labels.shape == (24, 3)
    with pytest.raises(ValueError, match="no labels of Scurvy"):
        open_split(run.config, "test", ("Mass", "Scurvy"))

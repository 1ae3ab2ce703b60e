import json
import shutil

import keras
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from mamsf_keras import MAMSFNet, RunDir, evaluate, open_dataset
from mamsf_keras.evaluation.calibration import Calibration, platt_scaling
from mamsf_keras.storage import checksum
from tests.runs import toy_config
from tests.toys import simple_rows, toy_backbone, write_nih

FINDINGS = ("Mass", "Effusion", "Hernia")


@pytest.fixture
def run(small_nih, tmp_path):
    """A run folder with an untrained model, which evaluation treats like a trained one."""
    config = toy_config(small_nih)
    with RunDir.create(tmp_path / "run", config) as run:
        keras.utils.set_random_seed(0)
        MAMSFNet(toy_backbone(32), FINDINGS).save(run.model("best"))
        run.environment.write_text(json.dumps({"data": open_dataset(small_nih).fingerprint}))
    return run


def test_metrics_equal_scikit_learn_on_the_file_of_predictions(run, small_nih):
    summary = evaluate(run.path)
    assert summary == json.loads(run.metrics("test").read_text())
    frame = pd.read_csv(run.predictions("test"))
    assert frame["image"].tolist() == open_dataset(small_nih).split("test").table["image"].tolist()
    for name in ("Mass", "Effusion"):
        row, labels, scores = summary["findings"][name], frame[f"{name}_label"], frame[name]
        assert row["auroc"] == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
        assert row["average_precision"] == pytest.approx(average_precision_score(labels, scores), abs=1e-12)
    assert summary["undefined"] == ["Hernia"] and summary["images"] == 24 and summary["patients"] == 12
    report = run.report("test").read_text()
    assert "official protocol" in report and "data:image/jpeg" in report and "Here the findings are not" in report


def test_probabilities_equal_those_of_the_model_on_the_images_by_hand(run, small_nih):
    evaluate(run.path, split="validation")
    dataset = open_dataset(small_nih).split("validation")
    read = dataset.open_images(32)
    images = np.stack([read(row) for row in range(len(dataset.table))])[..., None]
    model = keras.saving.load_model(run.model("best"))
    expected = keras.ops.convert_to_numpy(model(images.astype("float32"), training=False))
    frame = pd.read_csv(run.predictions("validation"))
    np.testing.assert_allclose(frame[list(model.findings)], expected, atol=1e-6)


def test_calibration_is_fitted_on_validation_predictions_only_and_again_for_another_model(run):
    evaluate(run.path)
    frame = pd.read_csv(run.predictions("validation"))
    fitted = Calibration.load(run.calibration)
    assert fitted.images == len(frame) and fitted.findings["Mass"].positives == frame["Mass_label"].sum()
    expected = platt_scaling(frame["Mass_label"].to_numpy(float), frame["Mass"].to_numpy())
    assert (fitted.findings["Mass"].slope, fitted.findings["Mass"].intercept) == expected
    before = run.calibration.read_bytes()
    evaluate(run.path)
    assert run.calibration.read_bytes() == before
    keras.utils.set_random_seed(1)
    MAMSFNet(toy_backbone(32), FINDINGS).save(run.model("best"))
    evaluate(run.path)
    assert Calibration.load(run.calibration).model_sha256 == checksum(run.model("best")) != fitted.model_sha256


def test_other_data_are_never_calibrated_on(run, tmp_path, caplog):
    """The run is evaluated on another folder. The calibration uses the run's own data and is left out without them."""
    other = write_nih(tmp_path / "other", simple_rows(patients=44), test_from=29)
    summary = evaluate(run.path, other)
    assert summary["images"] == 32 and summary["calibrated"]
    own = Calibration.load(run.calibration)
    assert own.images == len(open_dataset(run.config.data_dir).split("validation").table)
    run.calibration.unlink()
    shutil.rmtree(run.config.data_dir)
    with caplog.at_level("WARNING", "mamsf_keras"):
        summary = evaluate(run.path, other)
    assert not summary["calibrated"] and summary["findings"]["Mass"]["calibrated"] is None
    assert "no calibrated probabilities and no operating points" in caplog.text and not run.calibration.exists()


def test_the_validation_predictions_are_always_those_of_the_data_of_the_run(run, tmp_path):
    """The calibration is fitted on them, so predictions of other data never replace them, with or without it."""
    other = write_nih(tmp_path / "other", simple_rows(patients=44), test_from=29)
    for _ in range(2):
        with pytest.raises(ValueError, match="must hold predictions for the data of the run.*Choose another `split`"):
            evaluate(run.path, other, "validation", overwrite=True)
        assert not run.metrics("validation").exists()
        evaluate(run.path, other)
    own = evaluate(run.path, split="validation")
    frame = pd.read_csv(run.predictions("validation"))
    assert own["images"] == len(frame) == Calibration.load(run.calibration).images
    assert frame["image"].tolist() == open_dataset(run.config.data_dir).split("validation").table["image"].tolist()


def test_split_is_checked(run):
    with pytest.raises(ValueError, match="`split` must be one of train, validation, test. Received: split=val."):
        evaluate(run.path, split="val")


def test_prevalence_of_an_unknown_finding_is_refused_before_the_work(run):
    with pytest.raises(ValueError, match="unknown finding Hernai .did you mean Hernia.."):
        evaluate(run.path, prevalence={"Hernai": 0.01})
    assert not run.calibration.exists() and not run.predictions("test").exists()

import contextlib

import numpy as np
import pandas as pd
import pytest

from mamsf_keras import FINDINGS, RunDir, train
from mamsf_keras.devices import Devices
from mamsf_keras.training.callbacks.build import build_callbacks, finished_loggers
from mamsf_keras.training.callbacks.mlflow import MLflow
from mamsf_keras.training.history import History
from mamsf_keras.training.inference_copy import InferenceCopy
from tests.runs import toy_config
from tests.training.callbacks.test_tensorboard import read_scalars


@pytest.fixture
def store(tmp_path, monkeypatch):
    """The URI of an MLflow store in a folder."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    return f"file:{tmp_path}/mlruns"


def names(config, run, data, devices):
    arguments = (config, run, data, History(), devices)
    callbacks = build_callbacks(*arguments, inference_copy=InferenceCopy(config, data.dataset.findings))
    return [type(callback).__name__ for callback in callbacks]


@pytest.mark.tensorflow
def test_order(shared_nih, training_data, tmp_path, store):
    scores = ["StopOnNonFinite", "ValidationAUROC", "AnchorMetrics"]
    files = ["SaveBestModel", "SaveCheckpoint", "WriteHistory"]
    config, run = toy_config(shared_nih), RunDir(tmp_path)
    alone = Devices(contextlib.nullcontext())
    expected = [*scores, "TensorBoard", "ProgressBar", "RecordHistory", *files, "StopWithoutProgress"]
    assert names(config, run, training_data, alone) == expected
    mirrored = Devices(contextlib.nullcontext(), 2, mirrored=True)
    logged = toy_config(shared_nih, mlflow=store)
    expected = ["SyncReplicas", *scores, "TensorBoard", "MLflow", *expected[4:]]
    assert names(logged, run, training_data, mirrored) == expected
    second = Devices(contextlib.nullcontext(), 2, process=1, processes=2)
    expected = [*scores, "ProgressBar", "RecordHistory", "StopWithoutProgress"]
    assert names(logged, run, training_data, second) == expected


@pytest.mark.tensorflow
def test_loggers_hear_how_training_ended(shared_nih, tmp_path, store):
    import mlflow

    run = RunDir(tmp_path)
    logger = MLflow(toy_config(shared_nih, mlflow=store), run)
    client = mlflow.MlflowClient(store)
    with pytest.raises(KeyboardInterrupt), finished_loggers([History(), logger]):
        raise KeyboardInterrupt
    assert client.get_run(logger.run_id).info.status == "FAILED"
    with finished_loggers([logger]):
        pass
    assert client.get_run(logger.run_id).info.status == "FINISHED"


def test_history_tensorboard_and_mlflow_agree(shared_nih, tmp_path, store):
    import mlflow

    run = RunDir(tmp_path / "run")
    train(toy_config(shared_nih, freeze_epochs=1, fusion=False, mlflow=store), run.path)
    table = pd.read_csv(run.history)
    scores = [f"val_auroc {name}" for name in FINDINGS if f"val_auroc {name}" in table]
    assert scores
    np.testing.assert_allclose(table[scores].mean(axis=1), table["val_auroc"])
    assert table["decay"].isna().tolist() == [True, False]  # a frozen backbone is not averaged
    assert table["drift"][1] > 0 and table["learning_rate"][1] == 0
    client = mlflow.MlflowClient(store)
    run_id = run.mlflow_id.read_text()
    assert client.get_run(run_id).info.status == "FINISHED"
    events = read_scalars(run.tensorboard)
    for name in table.columns.drop("epoch"):
        tag = name.replace("val_auroc ", "val_auroc_of/")
        expected = {epoch + 1: value for epoch, value in table[name].dropna().items()}
        assert events[tag] == pytest.approx(expected, rel=1e-6)
        sent = {metric.step: metric.value for metric in client.get_metric_history(run_id, tag)}
        assert sent == pytest.approx(expected)

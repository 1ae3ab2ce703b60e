import contextlib

import numpy as np
import pandas as pd
import pytest

from mamsf_keras import FINDINGS, RunDir, train
from mamsf_keras.devices import Devices
from mamsf_keras.training.callbacks.build import build_callbacks, finished_loggers
from mamsf_keras.training.callbacks.mlflow import MLflow
from mamsf_keras.training.callbacks.save_best_model import SaveBestModel
from mamsf_keras.training.callbacks.save_checkpoint import SaveCheckpoint
from mamsf_keras.training.callbacks.tensorboard import TensorBoard
from mamsf_keras.training.callbacks.write_history import WriteHistory
from mamsf_keras.training.history import History
from mamsf_keras.training.inference_copy import InferenceCopy
from tests.runs import check_same_files, toy_config
from tests.training.callbacks.test_tensorboard import read_scalars


@pytest.fixture
def store(tmp_path, monkeypatch):
    """The URI of an MLflow store in a folder."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    return f"file:{tmp_path}/mlruns"


@pytest.fixture(scope="module")
def logged(shared_nih, tmp_path_factory):
    """An uninterrupted run with all loggers. Tests must not change it."""
    pytest.importorskip("mlflow")
    folder = tmp_path_factory.mktemp("logged")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
        train(toy_config(shared_nih, fusion=False, mlflow=f"file:{folder}/mlruns"), folder / "run")
        yield RunDir(folder / "run")


def all_metrics(run):
    """All metrics of a run on the server, including duplicates: {name: [(step, value), ...]}."""
    import mlflow

    client, run_id = mlflow.MlflowClient(run.config.mlflow), run.mlflow_id.read_text()
    names = client.get_run(run_id).data.metrics
    return {name: [(m.step, m.value) for m in client.get_metric_history(run_id, name)] for name in names}


def names(config, run, data, devices):
    arguments = (config, run, data, History(), devices)
    callbacks = build_callbacks(*arguments, inference_copy=InferenceCopy(config, data.dataset.findings))
    return [type(callback).__name__ for callback in callbacks]


@pytest.mark.tensorflow
def test_order(shared_nih, training_data, tmp_path, store):
    scores = ["StopOnNonFinite", "ValidationAUROC", "AnchorMetrics"]
    files = ["SaveCheckpoint", "SaveBestModel", "WriteHistory", "TensorBoard"]
    end = ["ProgressBar", "StopWithoutProgress"]
    config, run = toy_config(shared_nih), RunDir(tmp_path)
    alone = Devices(contextlib.nullcontext())
    assert names(config, run, training_data, alone) == [*scores, "RecordHistory", *files, *end]
    mirrored = Devices(contextlib.nullcontext(), 2, mirrored=True)
    logged = toy_config(shared_nih, mlflow=store)
    expected = ["SyncReplicas", *scores, "RecordHistory", *files, "MLflow", *end]
    assert names(logged, run, training_data, mirrored) == expected
    second = Devices(contextlib.nullcontext(), 2, process=1, processes=2)
    assert names(logged, run, training_data, second) == [*scores, "RecordHistory", *end]


@pytest.mark.tensorflow
def test_loggers_receive_the_final_status(shared_nih, tmp_path, store):
    import mlflow

    run = RunDir(tmp_path)
    logger = MLflow(toy_config(shared_nih, mlflow=store), run, History())
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


WITHOUT_MODEL = [pytest.param(name, marks=pytest.mark.tensorflow) for name in (WriteHistory, TensorBoard, MLflow)]


@pytest.mark.parametrize("callback", [SaveCheckpoint, SaveBestModel, *WITHOUT_MODEL])
def test_run_that_is_killed_between_the_files_of_an_epoch_loses_and_repeats_nothing(
    logged, shared_nih, tmp_path, monkeypatch, callback
):
    """A run killed before `callback` in the best epoch ends with the same files as an uninterrupted run."""
    best = pd.read_csv(logged.history)["val_auroc"].argmax()

    def kill(self, epoch, logs=None):
        if epoch == best:
            raise KeyboardInterrupt  # as after a kill, the folder of the run stays
        return original(self, epoch, logs)

    original, run = callback.on_epoch_end, RunDir(tmp_path / "run")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(callback, "on_epoch_end", kill)
        train(logged.config, run.path)
    train(logged.config, run.path, resume=True)
    check_same_files(logged.path, run.path)
    assert read_scalars(run.tensorboard) == read_scalars(logged.tensorboard)
    assert all_metrics(run) == all_metrics(logged)

import dataclasses

import pytest

from mamsf_keras import RunDir
from mamsf_keras.training.callbacks.mlflow import MLflow, connect
from tests.runs import toy_config

pytestmark = pytest.mark.tensorflow  # no model: once

mlflow = pytest.importorskip("mlflow")


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A configuration with an MLflow store in a folder."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    return toy_config(tmp_path / "data", mlflow=f"file:{tmp_path}/mlruns")


@pytest.fixture
def run(tmp_path):
    (tmp_path / "my run").mkdir()
    return RunDir(tmp_path / "my run")


def sent(client, run, name):
    """What the server has of a metric: {step: value}."""
    history = client.get_metric_history(run.mlflow_id.read_text(), name)
    return {metric.step: metric.value for metric in history}


def test_configuration_and_logs_are_on_the_server(config, run):
    logger = MLflow(config, run)
    logger.on_epoch_end(0, {"loss": 0.5, "val_auroc Mass": 0.25})
    logger.on_epoch_end(1, {"loss": 0.75})
    logger.finish("FINISHED")
    client = mlflow.MlflowClient(config.mlflow)
    there = client.get_run(run.mlflow_id.read_text())
    assert (there.info.run_name, there.info.status) == ("my run", "FINISHED")
    assert there.data.params == {name: str(value) for name, value in dataclasses.asdict(config).items()}
    assert sent(client, run, "loss") == {1: 0.5, 2: 0.75}
    assert sent(client, run, "val_auroc_of/Mass") == {1: 0.25}


def test_resumed_run_is_continued(config, run):
    first = MLflow(config, run)
    first.on_epoch_end(0, {"loss": 0.5})
    first.finish("FAILED")
    second = MLflow(config, run)
    client = mlflow.MlflowClient(config.mlflow)
    assert client.get_run(second.run_id).info.status == "RUNNING"
    second.on_epoch_end(1, {"loss": 0.25})
    experiment = client.get_experiment_by_name("mamsf-keras").experiment_id
    (only,) = client.search_runs([experiment])
    assert only.info.run_id == first.run_id == second.run_id
    assert sent(client, run, "loss") == {1: 0.5, 2: 0.25}


def test_resumed_run_is_new_on_a_server_that_does_not_know_it(config, run, tmp_path):
    known = MLflow(config, run).run_id
    elsewhere = dataclasses.replace(config, mlflow=f"file:{tmp_path}/other")
    logger = MLflow(elsewhere, run)
    assert logger.run_id != known and logger.client.get_run(run.mlflow_id.read_text()).info.status == "RUNNING"


def test_lost_server_is_logged_once_and_gets_no_more(config, run, caplog):
    logger = MLflow(config, run)
    logger.run_id = "0" * 32  # unknown to the server
    for epoch in range(2):
        logger.on_epoch_end(epoch, {"loss": 1.0})
    logger.finish("FINISHED")
    assert caplog.text.count("MLflow did not take epoch 1 and gets no more") == 1 and "epoch 2" not in caplog.text
    assert "end of the run" not in caplog.text


def test_lost_server_at_the_end_is_logged(config, run, caplog):
    logger = MLflow(config, run)
    logger.run_id = "0" * 32
    logger.finish("FINISHED")
    assert "MLflow did not take the end of the run" in caplog.text


def test_server_that_cannot_be_reached_is_refused(config, run):
    for call in (lambda uri: connect(uri), lambda uri: MLflow(dataclasses.replace(config, mlflow=uri), run)):
        with pytest.raises(ConnectionError, match="MLflow at nonsense://x"):
            call("nonsense://x")
    assert not run.mlflow_id.exists()

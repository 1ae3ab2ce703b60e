import dataclasses
import importlib.util
import os
import subprocess
import sys

import pytest

from mamsf_keras import RunDir
from mamsf_keras.training.callbacks.mlflow import MLflow, connect, metric_name
from mamsf_keras.training.history import History
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
    """The values of a metric on the server: {step: value}."""
    history = client.get_metric_history(run.mlflow_id.read_text(), name)
    return {metric.step: metric.value for metric in history}


def started(config, run, epochs=()):
    return MLflow(config, run, History(epochs))


def end_epoch(logger, logs):
    epoch = len(logger.history)
    logger.history.append(epoch, logs)
    logger.on_epoch_end(epoch)


def test_configuration_and_logs_are_on_the_server(config, run):
    logger = started(config, run)
    end_epoch(logger, {"loss": 0.5, "val_auroc Mass": 0.25})
    end_epoch(logger, {"loss": 0.75})
    logger.finish("FINISHED")
    client = mlflow.MlflowClient(config.mlflow)
    there = client.get_run(run.mlflow_id.read_text())
    assert (there.info.run_name, there.info.status) == ("my run", "FINISHED")
    assert there.data.params == {name: str(value) for name, value in dataclasses.asdict(config).items()}
    assert sent(client, run, "loss") == {1: 0.5, 2: 0.75}
    assert sent(client, run, "val_auroc_of/Mass") == {1: 0.25}


def test_resumed_run_is_continued(config, run):
    first = started(config, run)
    end_epoch(first, {"loss": 0.5})
    first.finish("FAILED")
    second = started(config, run, first.history.epochs)
    client = mlflow.MlflowClient(config.mlflow)
    assert client.get_run(second.run_id).info.status == "RUNNING"
    end_epoch(second, {"loss": 0.25})
    experiment = client.get_experiment_by_name("mamsf-keras").experiment_id
    (only,) = client.search_runs([experiment])
    assert only.info.run_id == first.run_id == second.run_id
    assert sent(client, run, "loss") == {1: 0.5, 2: 0.25}


def test_resumed_run_is_new_on_a_server_that_does_not_know_it(config, run, tmp_path):
    known = started(config, run).run_id
    elsewhere = dataclasses.replace(config, mlflow=f"file:{tmp_path}/other")
    logger = started(elsewhere, run)
    assert logger.run_id != known and logger.client.get_run(run.mlflow_id.read_text()).info.status == "RUNNING"


def test_lost_connection_is_logged_once_and_no_more_epochs_are_sent(config, run, caplog):
    logger = started(config, run)
    logger.run_id = "0" * 32  # unknown to the server
    for _ in range(2):
        end_epoch(logger, {"loss": 1.0})
    logger.finish("FINISHED")
    assert (
        caplog.text.count("MLflow did not accept epoch 1, so no more epochs are sent") == 1
        and "epoch 2" not in caplog.text
    )
    assert "final status of the run" not in caplog.text


def test_lost_server_at_the_end_is_logged(config, run, caplog):
    logger = started(config, run)
    logger.run_id = "0" * 32
    logger.finish("FINISHED")
    assert "MLflow did not accept the final status of the run" in caplog.text


def test_server_that_cannot_be_reached_is_refused(config, run):
    for call in (lambda uri: connect(uri), lambda uri: started(dataclasses.replace(config, mlflow=uri), run)):
        with pytest.raises(ConnectionError, match="MLflow at nonsense://x"):
            call("nonsense://x")
    assert not run.mlflow_id.exists()


def test_server_gets_each_log_once_though_a_kill_came_between(config, run):
    """The first run was killed when half of its second epoch was sent. The second resumes after that epoch."""
    epochs = [{"epoch": 1, "loss": 0.5, "val_auroc": 0.25}, {"epoch": 2, "loss": 0.25, "val_auroc": 0.75}]
    client, first = mlflow.MlflowClient(config.mlflow), started(config, run, epochs[:1])
    first.on_epoch_end(0)
    client.log_metric(first.run_id, "loss", 0.25, step=2)
    second = started(config, run, epochs)
    for _ in range(2):
        second.on_epoch_end(1)
    for name in ("loss", "val_auroc"):
        history = client.get_metric_history(second.run_id, name)
        assert [(metric.step, metric.value) for metric in history] == [(logs["epoch"], logs[name]) for logs in epochs]


def test_configuration_that_a_kill_kept_from_the_server_is_sent_when_resumed(config, run):
    client = mlflow.MlflowClient(config.mlflow)
    run_id = client.create_run(client.create_experiment("mamsf-keras")).info.run_id
    run.mlflow_id.write_text(run_id)
    client.log_param(run_id, "epochs", "1")  # the server does not take another value
    assert started(config, run).run_id == run_id
    params = client.get_run(run_id).data.params
    assert params["backbone"] == "toy" and params["epochs"] == "1"


def test_findings_with_any_name_are_sent_and_one_that_is_refused_is_named_once(config, run, caplog):
    logger = started(config, run)
    long = "val_auroc " + 300 * "x"
    logs = {"loss": 0.5, "val_auroc Opacity (left), %": 0.25, "val_auroc Nodule/Mass": 0.75, long: 0.125}
    for _ in range(2):
        end_epoch(logger, logs)
    assert sent(logger.client, run, "loss") == {1: 0.5, 2: 0.5}
    assert sent(logger.client, run, "val_auroc_of/Opacity _28_left_29__2c_ _25_") == {1: 0.25, 2: 0.25}
    assert sent(logger.client, run, "val_auroc_of/Nodule/Mass") == {1: 0.75, 2: 0.75}
    assert caplog.text.count("MLflow rejected val_auroc_of/xxx") == 1 and not logger.lost
    assert len({metric_name(f"val_auroc {name}") for name in ("A(b", "A[b", "A_b", "A b")}) == 4


def test_errors_of_databases_and_folders_name_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    with pytest.raises(ConnectionError, match="set `MLFLOW_ALLOW_FILE_STORE=true`"):
        connect(f"file:{tmp_path}/mlruns")
    if importlib.util.find_spec("sqlalchemy"):
        pytest.skip("SQLAlchemy is installed: databases work")
    with pytest.raises(ConnectionError, match="MLflow at sqlite:.* database also needs `pip install sqlalchemy"):
        connect(f"sqlite:///{tmp_path}/mlflow.db")


def test_telemetry_is_off_and_writes_no_file(tmp_path):
    """In a new process, since MLflow decides when it is imported, and with a new home folder."""
    unset = ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK", "CI", "PYTEST_CURRENT_TEST")
    kept = {name: value for name, value in os.environ.items() if name not in unset}
    code = f"from mamsf_keras.training.callbacks.mlflow import connect; connect('file:{tmp_path}/mlruns')"
    environment = {**kept, "HOME": str(tmp_path), "XDG_CONFIG_HOME": "", "MLFLOW_ALLOW_FILE_STORE": "true"}
    environment["KERAS_BACKEND"] = "numpy"  # starts faster
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.rglob("telemetry.json"))

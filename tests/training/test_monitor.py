import json

import keras
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mamsf_keras import FINDINGS, MAMSFNet, TrainConfig, train
from mamsf_keras.training.build import dtype_policy
from mamsf_keras.training.losses import CellwiseBCE
from mamsf_keras.training.monitor import Gauges, MLflow, ProgressBar, drift
from tests.conftest import toy_backbone

OPTIONS = {"weights": "none", "image_size": 32, "batch_size": 8, "epochs": 3, "freeze_epochs": 1, "augment": "none"}


@pytest.fixture
def run(small_nih, tmp_path, toy_training, monkeypatch):
    """A run with the MLflow store of a folder."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    config = TrainConfig(str(small_nih), mlflow=f"file:{tmp_path}/mlruns", **OPTIONS)
    train(config, tmp_path / "run")
    return tmp_path / "run"


def test_history_tensorboard_and_mlflow_say_the_same(run, tmp_path):
    import mlflow

    table = pd.read_csv(run / "history.csv")
    names = [f"val_auroc {name}" for name in FINDINGS if f"val_auroc {name}" in table]
    assert names
    np.testing.assert_allclose(table[names].mean(axis=1), table["val_auroc"])
    assert table["decay"].isna().tolist() == [True, False, False]  # the frozen epoch has no average
    assert (table["drift"].dropna() > 0).all() and table["learning_rate"].iloc[-1] == 0
    events = EventAccumulator(str(run / "tensorboard"))
    events.Reload()
    client = mlflow.MlflowClient(f"file:{tmp_path}/mlruns")
    run_id = (run / "mlflow-run.txt").read_text()
    assert client.get_run(run_id).info.status == "FINISHED"
    assert client.get_run(run_id).data.params["batch_size"] == "8"
    for name in table.columns.drop("epoch"):
        tag = name.replace("val_auroc ", "val_auroc_of/")
        rows = table[name].dropna()
        scalars = {event.step: event.tensor_proto.float_val[0] for event in events.Tensors(tag)}
        assert list(scalars) == [epoch + 1 for epoch in rows.index]
        np.testing.assert_allclose(list(scalars.values()), rows, rtol=1e-6)
        sent = {metric.step: metric.value for metric in client.get_metric_history(run_id, tag)}
        np.testing.assert_allclose([sent[epoch + 1] for epoch in rows.index], rows)


def test_a_resumed_run_goes_on_in_mlflow(run, small_nih, tmp_path):
    import mlflow

    config = TrainConfig(**{**json.loads((run / "config.json").read_text()), "epochs": 4})
    train(config, run, resume=True)
    client = mlflow.MlflowClient(f"file:{tmp_path}/mlruns")
    experiment = client.get_experiment_by_name("mamsf-keras").experiment_id
    (only,) = client.search_runs([experiment])
    assert [metric.step for metric in client.get_metric_history(only.info.run_id, "loss")] == [1, 2, 3, 4]


def test_lost_and_wrong_servers(run, capsys):
    config = TrainConfig(**json.loads((run / "config.json").read_text()))
    logger = MLflow(config, run)
    assert logger.client.get_run(logger.run_id).info.status == "RUNNING"
    logger.run_id = "0" * 32
    for _ in range(2):
        logger.on_epoch_end(0, {"loss": 1.0})
    assert capsys.readouterr().out.count("MLflow did not take epoch 1") == 1
    elsewhere = TrainConfig(config.data_dir, mlflow=f"file:{run.parent}/other")
    begun = MLflow(elsewhere, run)  # a resumed run at a server that does not know it
    assert begun.client.get_run((run / "mlflow-run.txt").read_text()).info.status == "RUNNING"
    (run / "mlflow-run.txt").unlink()
    with pytest.raises(ConnectionError, match="MLflow at nonsense://x"):
        MLflow(TrainConfig(config.data_dir, mlflow="nonsense://x"), run)


def test_drift_by_hand():
    model = MAMSFNet(toy_backbone(), ("A", "B"))
    assert drift(model.anchor) == 0
    for weight in model.anchor.online.weights:
        weight.assign(2 * keras.ops.convert_to_numpy(weight))
    assert drift(model.anchor) == pytest.approx(0.5)


def test_validation_auroc_is_scikit_learns(run, small_nih):
    from mamsf_keras.data.folder import read_split
    from mamsf_keras.data.stream import Stream, subset
    from mamsf_keras.evaluation.predictions import predict

    rows = subset(read_split(TrainConfig(str(small_nih))).table, "validation")
    outputs = predict(keras.saving.load_model(run / "last.keras"), Stream(rows, FINDINGS, 32, 8), verbose=0)
    last = pd.read_csv(run / "history.csv").iloc[-1]
    for number, name in enumerate(FINDINGS):
        if f"val_auroc {name}" in last:
            assert last[f"val_auroc {name}"] == pytest.approx(roc_auc_score(rows[name], outputs[:, number]), abs=1e-6)


def test_steps_that_float16_skips_are_counted():
    """By the weights that a step leaves as they were: at first the scaled gradients overflow."""
    with dtype_policy("mixed_float16"):
        model = MAMSFNet(toy_backbone(), ("A", "B"), classifier_activation=None)
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(1e-3), initial_scale=2.0**24)
    model.compile(optimizer, CellwiseBCE())
    moved = []

    class Moved(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            now = keras.ops.convert_to_numpy(model.classifier.bias)
            moved.append(not np.array_equal(now, self.before))
            self.before = now

    watch = Moved()
    watch.before = keras.ops.convert_to_numpy(model.classifier.bias)
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (8, 32, 32, 1), dtype=np.uint8), rng.integers(0, 2, (8, 2)).astype("float32")
    history = model.fit(images, labels, batch_size=8, epochs=16, verbose=0, callbacks=[Gauges(), watch]).history
    assert history["skipped_steps"] == [0 if one else 1 for one in moved]
    assert 0 < sum(history["skipped_steps"]) < 16


def test_bar_shows_images_a_second_and_not_every_finding(capsys):
    bar = ProgressBar(batch_size=8)
    bar.set_params({"verbose": 1, "epochs": 1, "steps": 3})
    bar.on_train_begin()
    bar.on_epoch_begin(0)
    for step in range(3):
        bar.on_train_batch_end(step, {"loss": 0.5})
    bar.on_epoch_end(0, {"loss": 0.5, "val_auroc": 0.75, "val_auroc Mass": 0.25})
    text = capsys.readouterr().out
    assert "images/s:" in text and "val_auroc: 0.75" in text and "Mass" not in text

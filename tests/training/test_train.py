import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import filelock
import keras
import numpy as np
import pandas as pd
import pytest

from mamsf_keras import MAMSFNet, RunDir, TrainConfig, load_model, register_backbone, train
from mamsf_keras.devices import on_gpu
from mamsf_keras.training.train import check_backend
from tests.conftest import BACKEND
from tests.runs import check_same_files, toy_config
from tests.toys import contents, toy_backbone

ROOT = Path(__file__).parents[2]


class FailAtTheStart(keras.callbacks.Callback):
    """Raises an error before the first step."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def on_train_begin(self, logs=None):
        raise self.error


def test_summary_and_files(shared_nih, tmp_path):
    run = RunDir(tmp_path / "run")
    config = toy_config(shared_nih, epochs=3, fusion=False)
    summary = train(config, run.path)
    table = pd.read_csv(run.history)
    assert summary["epochs"] == len(table) == 3
    assert summary["best_epoch"] == table["val_auroc"].idxmax() + 1
    assert summary["validation_auroc"] == table["val_auroc"].max()
    assert summary["images_per_second"] == pytest.approx(3 * 6 * 8 / summary["seconds"])
    assert run.config == config and json.loads(run.environment.read_text())["backend"] == BACKEND
    files = {Path(name).parts[0] for name in contents(run.path)}
    expected = {"best.keras", "last.keras", "config.json", "environment.json", "history.csv", "history.png"}
    assert files == {*expected, "checkpoints", "tensorboard"}
    assert float(load_model(run.model("last")).anchor.update_count) == 3 * 6


def test_same_configuration_gives_the_same_run(uninterrupted, tmp_path):
    config = TrainConfig.load(uninterrupted.config_file)
    options = {"epochs": 1, "phases": None, "fusion": False}
    short = dataclasses.replace(config, **options)
    train(short, tmp_path / "one")
    train(short, tmp_path / "two")
    check_same_files(tmp_path / "one", tmp_path / "two")
    train(dataclasses.replace(short, seed=1), tmp_path / "three")
    assert (tmp_path / "three" / "history.csv").read_text() != (tmp_path / "one" / "history.csv").read_text()


def test_keras_settings_have_no_effect(shared_nih, tmp_path, request):
    config = toy_config(shared_nih, epochs=1)
    train(config, tmp_path / "plain")
    request.getfixturevalue("foreign_defaults")
    train(config, tmp_path / "foreign")
    check_same_files(tmp_path / "plain", tmp_path / "foreign")


def test_callbacks_are_called_after_those_of_the_run(shared_nih, tmp_path):
    """They get the complete logs, after the files of the epoch are written."""
    run, seen = RunDir(tmp_path / "run"), []

    class See(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            written = pd.read_csv(run.history).iloc[-1].dropna()
            assert written.to_dict() == pytest.approx({"epoch": epoch + 1, **logs})
            seen.append((epoch, run.checkpoint(epoch + 1).exists()))

    train(toy_config(shared_nih, fusion=False), run.path, callbacks=[See()])
    assert seen == [(0, True), (1, True)]


@pytest.mark.tensorflow
def test_run_that_fails_before_its_first_epoch_ends_leaves_nothing(shared_nih, tmp_path):
    with pytest.raises(RuntimeError):
        train(toy_config(shared_nih), tmp_path / "runs" / "one", callbacks=[FailAtTheStart(RuntimeError)])
    assert not list(tmp_path.iterdir())
    with pytest.raises(KeyboardInterrupt):
        train(toy_config(shared_nih), tmp_path / "runs" / "one", callbacks=[FailAtTheStart(KeyboardInterrupt)])
    assert {"config.json", "environment.json"} == set(contents(tmp_path / "runs" / "one"))


@pytest.mark.tensorflow
def test_run_folders_that_cannot_be_used_are_refused(finished, tmp_path):
    """A folder that exists, one that is missing, one in use by another process, and one that contains the cache."""
    config, before = finished.config, contents(finished.path)
    with pytest.raises(FileExistsError, match="exists. Choose another `run_dir`, or resume the run with `resume`"):
        train(config, finished.path)
    with pytest.raises(FileNotFoundError, match="none does not exist"):
        train(config, tmp_path / "none", resume=True)
    with filelock.FileLock(finished.path / ".lock"):
        with pytest.raises(BlockingIOError, match=f"Another process is working on {finished.path}"):
            train(config, finished.path, resume=True)
    inside = dataclasses.replace(config, cache=str(tmp_path / "new" / "cache"))
    with pytest.raises(ValueError, match="`cache` must be outside of the run folder. Received: cache=.*new"):
        train(inside, tmp_path / "new")
    assert contents(finished.path) == before and [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.tensorflow
def test_unknown_data_and_servers_are_refused_before_a_folder_is_made(shared_nih, tmp_path):
    pytest.importorskip("mlflow")
    with pytest.raises(ConnectionError, match="MLflow at nonsense://x"):
        train(toy_config(shared_nih, mlflow="nonsense://x"), tmp_path / "run")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        train(toy_config(tmp_path / "nowhere"), tmp_path / "run")
    assert not list(tmp_path.iterdir())


@pytest.mark.tensorflow
def test_weights_are_read_by_a_new_run_and_not_by_a_resumed_one(shared_nih, tmp_path):
    given = []

    def factory(name, cut, weights, image_size):
        given.append((cut, weights, image_size))
        return toy_backbone(image_size)

    register_backbone("weighted toy", factory)
    config = toy_config(shared_nih, backbone="weighted toy", weights="w.h5", cut="head", epochs=1, fusion=False)
    train(config, tmp_path / "run")
    train(dataclasses.replace(config, epochs=2), tmp_path / "run", resume=True)
    built = [("head", config.weights, 32), ("head", None, 32), ("head", None, 32), ("head", None, 32)]
    assert given == built and config.weights.endswith("w.h5")  # each run builds its model and an inference copy


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_run_leaves_float32_models(shared_nih, tmp_path, precision):
    run = RunDir(tmp_path / "run")
    train(toy_config(shared_nih, image_size=64, epochs=1, steps_per_epoch=3, precision=precision), run.path)
    model = load_model(run.model("last"))
    assert isinstance(model, MAMSFNet)
    assert {layer.compute_dtype for layer in model.final_block.layers} == {"float32"}
    assert np.isfinite(pd.read_csv(run.history)).all(axis=None)
    assert float(model.anchor.update_count) == 3


@pytest.mark.tensorflow
def test_bfloat16_on_feature_maps_of_one_pixel_is_refused_on_a_cpu(shared_nih, tmp_path):
    """The gradient of a 5x5 kernel is wrong there; found as a loss of NaN."""
    config = toy_config(shared_nih, precision="mixed_bfloat16")
    for allowed in ({"fusion": False}, {"image_size": 64}, {"precision": "float32"}):
        check_backend(dataclasses.replace(config, **allowed))
    if on_gpu():
        check_backend(config)
        return
    with pytest.raises(ValueError, match="bfloat16 gradient of a 5x5 kernel .* Use `image_size` 64 or `precision`"):
        train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(BACKEND == "tensorflow", reason="TensorFlow augments strongly")
def test_strong_augmentation_needs_tensorflow(shared_nih, tmp_path):
    message = f"`augment` strong needs `backend` tensorflow. Keras runs on {BACKEND}."
    with pytest.raises(ValueError, match=message):
        train(toy_config(shared_nih, augment="strong"), tmp_path / "run")


@pytest.mark.skipif(BACKEND != "torch", reason="the other backends run several steps per execution")
def test_several_steps_per_execution_are_refused_on_pytorch(shared_nih, tmp_path):
    with pytest.raises(ValueError, match="Keras on PyTorch runs one step at a time. Leave out `steps_per_execution`"):
        train(toy_config(shared_nih, steps_per_execution=3), tmp_path / "run")


@keras.saving.register_keras_serializable(package="tests")
class CountedLayer(keras.layers.Layer):
    """Counts its calls in training mode: once per tracing of a step."""

    count = 0

    def call(self, inputs, training=False):
        if training:
            type(self).count += 1
        return inputs


@pytest.mark.skipif(BACKEND == "torch", reason="PyTorch traces nothing")
def test_each_phase_traces_its_step_once(shared_nih, tmp_path):
    def factory(name, cut, weights, image_size):
        features, final_block = toy_backbone(image_size)
        counted = CountedLayer()(features.output)
        return keras.Model(features.input, counted, name="features"), final_block

    seen = []

    class Count(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(CountedLayer.count)

    register_backbone("counted toy", factory)
    options = {"backbone": "counted toy", "epochs": 3, "freeze_epochs": 1, "fusion": False}
    train(toy_config(shared_nih, **options), tmp_path / "run", callbacks=[Count()])
    frozen, whole = seen[:6], seen[6:]
    assert len(whole) == 12 and frozen[0] >= 1 and whole[0] > frozen[0]
    assert frozen == [frozen[0]] * 6 and whole == [whole[0]] * 12


HIDE_TENSORFLOW = """
import importlib.machinery
find = importlib.machinery.PathFinder.find_spec

def find_spec(name, *arguments):
    return None if name.split(".")[0] == "tensorflow" else find(name, *arguments)

importlib.machinery.PathFinder.find_spec = find_spec
"""
TRAIN_AND_EVALUATE = """
import sys
from mamsf_keras import evaluate, train
from tests.runs import toy_config
import tests.toys

summary = train(toy_config(sys.argv[1], epochs=1, fusion=False), sys.argv[2])
assert 0 <= summary["validation_auroc"] <= 1
assert evaluate(sys.argv[2])["images"] == 24
assert "tensorflow" not in sys.modules
"""


@pytest.mark.tensorflow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_tensorflow_is_neither_needed_nor_imported(shared_nih, tmp_path, backend):
    """Tests a process in which TensorFlow seems not to be installed, and one that could import it."""
    pytest.importorskip(backend)
    options = {"cwd": ROOT, "env": {**os.environ, "KERAS_BACKEND": backend}, "stderr": subprocess.PIPE, "text": True}
    codes = {"hidden": HIDE_TENSORFLOW + TRAIN_AND_EVALUATE, "installed": TRAIN_AND_EVALUATE}
    commands = {name: [sys.executable, "-c", code, shared_nih, tmp_path / name] for name, code in codes.items()}
    running = {
        name: subprocess.Popen(command, stdout=subprocess.DEVNULL, **options) for name, command in commands.items()
    }
    errors = {name: process.communicate()[1] for name, process in running.items()}
    for name, process in running.items():
        assert process.returncode == 0, (name, errors[name])
        assert (tmp_path / name / "metrics-test.json").exists()


@pytest.mark.tensorflow
def test_hidden_tensorflow_cannot_be_imported():
    command = [sys.executable, "-c", HIDE_TENSORFLOW + "import tensorflow"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1 and "No module named 'tensorflow'" in done.stderr


@pytest.mark.tensorflow
def test_run_stopped_by_a_callback_resumes_without_a_gap(shared_nih, tmp_path):
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = True

    config = toy_config(shared_nih, phases=[{"epochs": 2}, {"epochs": 1}], fusion=False)
    train(config, tmp_path / "run", callbacks=[Stop()])
    assert pd.read_csv(tmp_path / "run" / "history.csv")["epoch"].tolist() == [1]
    train(config, tmp_path / "run", resume=True)
    assert pd.read_csv(tmp_path / "run" / "history.csv")["epoch"].tolist() == [1, 2, 3]


@pytest.mark.tensorflow
def test_history_is_completed_after_a_kill_at_the_end_of_training(finished):
    whole = finished.history.read_text()
    finished.history.write_text("".join(whole.splitlines(keepends=True)[:-1]))
    train(finished.config, finished.path, resume=True)
    assert finished.history.read_text() == whole

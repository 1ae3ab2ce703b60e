"""Checkpoints. Run as a module, it trains, writes a checkpoint and is killed."""

import io
import os
import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from mamsf_keras import MAMSFNet, RunDir, SelectiveEMACallback
from mamsf_keras.training.callbacks.anchor_metrics import current_decay
from mamsf_keras.training.checkpoint import Checkpoint
from mamsf_keras.training.history import History
from mamsf_keras.training.losses import CellwiseBCE
from tests.toys import contents, toy_backbone

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (80, 32, 32, 1), dtype=np.uint8)
LABELS = (RNG.random((80, 2)) < 0.4).astype("float32")
WARMUP = {"decay": 0.999, "warmup": "ratio"}


def toy_model():
    keras.utils.set_random_seed(0)
    model = MAMSFNet(toy_backbone(), ("A", "B"), use_fusion=False, classifier_activation=None)
    model.compile(keras.optimizers.Adam(0.01), CellwiseBCE())
    model.optimizer.build(model.trainable_variables)
    return model


@pytest.fixture(scope="module")
def some_model():
    """A compiled model. Tests must not change it."""
    return toy_model()


def fit(model, first, end, *callbacks):
    callbacks = [SelectiveEMACallback(**WARMUP), *callbacks]
    options = {"batch_size": 4, "shuffle": False, "verbose": 0, "callbacks": callbacks}
    model.fit(IMAGES, LABELS, initial_epoch=first, epochs=end, **options)


def test_restored_model_predicts_the_same_with_an_adapted_normalization():
    def normalizing_model():
        norm = keras.layers.Normalization()
        features, block = toy_backbone()
        model = MAMSFNet((features, keras.Sequential([keras.Input(block.input_shape[1:]), norm, block])), ("A",))
        model.compile("adam", CellwiseBCE())
        model.optimizer.build(model.trainable_variables)
        return model, norm

    (model, norm), (other, _) = normalizing_model(), normalizing_model()
    norm.adapt(np.ones((4, 8, 8, 8)) * np.arange(8))
    model.anchor.reset()
    Checkpoint.of(model, History()).restore(other)
    images = IMAGES[:4]
    np.testing.assert_array_equal(other.predict(images, verbose=0), model.predict(images, verbose=0))


class KilledInTheSecondEpoch(keras.callbacks.Callback):
    def __init__(self, run):
        super().__init__()
        self.run = run

    def on_epoch_end(self, epoch, logs=None):
        Checkpoint.of(self.model, History([{"epoch": epoch}])).write(self.run)

    def on_train_batch_end(self, batch, logs=None):
        if self.run.checkpoint_files() and batch == 7:
            os.kill(os.getpid(), signal.SIGKILL)


def test_run_killed_during_warmup_is_resumed(tmp_path):
    run = RunDir(tmp_path)
    command = [sys.executable, "-m", "tests.training.test_checkpoint", run.path]
    killed = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr

    uninterrupted = toy_model()
    fit(uninterrupted, 0, 2)
    resumed = toy_model()
    checkpoint = Checkpoint.read_newest(run)
    assert checkpoint.history.epochs == [{"epoch": 0}]
    checkpoint.restore(resumed)
    assert (float(resumed.anchor.update_count), float(resumed.anchor.step_count)) == (20, 20)
    assert float(resumed.anchor.tracking) == 0
    assert current_decay(resumed.anchor) == pytest.approx(21 / 30)
    fit(resumed, 1, 2)
    for one, two in zip(uninterrupted.variables, resumed.variables, strict=True):
        np.testing.assert_array_equal(*(keras.ops.convert_to_numpy(variable) for variable in (one, two)))


def test_state_of_another_model_is_refused(tmp_path):
    Checkpoint.of(toy_model(), History([{}])).write(RunDir(tmp_path))
    other = MAMSFNet(toy_backbone(), ("A",), use_fusion=False, classifier_activation=None)
    other.compile("adam", CellwiseBCE())
    other.optimizer.build(other.trainable_variables)
    with pytest.raises(ValueError, match="belongs to a different model"):
        Checkpoint.read_newest(RunDir(tmp_path)).restore(other)
    assert list(contents(tmp_path)) == ["checkpoints/epoch-0001.npz"]


@pytest.mark.tensorflow
def test_new_run_has_an_empty_checkpoint(tmp_path):
    checkpoint = Checkpoint.read_newest(RunDir(tmp_path))
    assert len(checkpoint.history) == 0 and checkpoint.arrays == []


@pytest.mark.tensorflow
def test_finished_epochs_without_a_checkpoint_are_refused(tmp_path):
    run = RunDir(tmp_path)
    run.history.write_text("epoch,loss\n0,0.5\n")
    with pytest.raises(ValueError, match="has finished epochs but no checkpoint to resume from. Start a new run"):
        Checkpoint.read_newest(run)


def test_two_newest_checkpoints_are_kept(tmp_path, some_model):
    run = RunDir(tmp_path)
    for epochs in (1, 2, 9, 10):
        Checkpoint.of(some_model, History([{}] * epochs)).write(run)
    assert list(contents(tmp_path)) == ["checkpoints/epoch-0009.npz", "checkpoints/epoch-0010.npz"]


def test_file_has_the_state_of_every_variable(tmp_path, some_model):
    """Including the states of the random generators, which Keras' own files leave out."""
    run = RunDir(tmp_path)
    Checkpoint.of(some_model, History([{"epoch": 0, "loss": 0.1 + 0.2}])).write(run)
    paths = [variable.path for variable in some_model.variables]
    assert any("seed_generator_state" in path for path in paths)
    with np.load(run.checkpoint(1)) as file:
        for number, variable in enumerate([*some_model.variables, *some_model.optimizer.variables]):
            np.testing.assert_array_equal(file[str(number)], keras.ops.convert_to_numpy(variable))
    assert Checkpoint.read_newest(run).history.epochs == [{"epoch": 0, "loss": 0.1 + 0.2}]


def without_last_array(data):
    """Returns the zip file without its last entry."""
    with zipfile.ZipFile(io.BytesIO(data)) as file, zipfile.ZipFile(out := io.BytesIO(), "w") as copy:
        for name in file.namelist()[:-1]:
            copy.writestr(name, file.read(name))
    return out.getvalue()


DIRECTORY = b"PK\x01\x02"
"""How an entry of the directory of a zip file starts; its compression and its flags follow."""


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-50],
        lambda data: b"",
        lambda data: data[:500] + b"x" + data[501:],
        lambda data: re.sub(DIRECTORY + b".{8}", lambda found: found[0][:10] + b"\x08\x00", data, flags=re.DOTALL),
        lambda data: re.sub(DIRECTORY + b".{6}", lambda found: found[0][:8] + b"\x01\x00", data, flags=re.DOTALL),
        lambda data: data.replace(DIRECTORY, b"PK\x01\x03"),
        without_last_array,
    ],
    ids=["cut", "empty", "byte", "compression", "encryption", "directory", "missing array"],
)
def test_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, caplog, damage, some_model):
    run = RunDir(tmp_path)
    for epochs in (1, 2, 3):
        Checkpoint.of(some_model, History([{"loss": 0.1}] * epochs)).write(run)
    newest, before = run.checkpoint_files()
    assert (newest.name, before.name) == ("epoch-0003.npz", "epoch-0002.npz")
    newest.write_bytes(damage(newest.read_bytes()))
    checkpoint = Checkpoint.read_newest(run)
    assert checkpoint.history.epochs == [{"loss": 0.1}] * 2
    variables = [*some_model.variables, *some_model.optimizer.variables]
    for array, variable in zip(checkpoint.arrays, variables, strict=True):
        np.testing.assert_array_equal(array, keras.ops.convert_to_numpy(variable))
    assert f"{newest} is damaged and skipped" in caplog.text
    before.write_bytes(b"")
    with pytest.raises(ValueError, match=f"All checkpoints in {run.checkpoints} are damaged. Start a new run."):
        Checkpoint.read_newest(run)


if __name__ == "__main__":
    fit(toy_model(), 0, 2, KilledInTheSecondEpoch(RunDir(sys.argv[1])))

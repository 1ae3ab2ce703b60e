"""A run that is killed and resumed against one that nobody disturbed."""

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

from mamsf_keras import MAMSFNet, SelectiveEMACallback
from mamsf_keras.model.momentum_anchor import decay_at
from mamsf_keras.training.checkpoint import assign_state, checkpoints, read_checkpoint, save_checkpoint
from mamsf_keras.training.losses import CellwiseBCE
from tests.conftest import toy_backbone

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (80, 32, 32, 1), dtype=np.uint8)
LABELS = (RNG.random((80, 2)) < 0.4).astype("float32")
STEPS_PER_EPOCH = 20
WARMUP = {"decay": 0.999, "warmup": "ratio"}


def toy_model():
    keras.utils.set_random_seed(0)
    model = MAMSFNet(toy_backbone(), ("A", "B"), fusion=False, classifier_activation=None)
    model.compile(keras.optimizers.Adam(0.01), CellwiseBCE())
    model.optimizer.build(model.trainable_variables)
    return model


def fit(model, first, end, *callbacks):
    callbacks = [SelectiveEMACallback(**WARMUP), *callbacks]
    options = {"batch_size": 4, "shuffle": False, "verbose": 0, "callbacks": callbacks}
    model.fit(IMAGES, LABELS, initial_epoch=first, epochs=end, **options)


class KilledInTheSecondEpoch(keras.callbacks.Callback):
    def __init__(self, path):
        super().__init__()
        self.path = path

    def on_epoch_end(self, epoch, logs=None):
        save_checkpoint(self.model, [{"epoch": epoch}], self.path)

    def on_train_batch_end(self, batch, logs=None):
        if self.path.exists() and batch == 7:
            os.kill(os.getpid(), signal.SIGKILL)


def test_killed_in_the_middle_of_the_warmup_and_resumed(tmp_path):
    path = tmp_path / "checkpoints"
    command = [sys.executable, "-m", "tests.training.test_checkpoint", path]
    killed = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr

    undisturbed = toy_model()
    fit(undisturbed, 0, 2)
    resumed = toy_model()
    history, arrays = read_checkpoint(path)
    assert history == [{"epoch": 0}]
    assign_state(resumed, arrays)
    clock = keras.ops.convert_to_numpy(resumed.anchor.clock)
    assert clock.tolist() == [0, 20] and float(resumed.anchor.armed) == 0
    assert float(decay_at(keras.ops.convert_to_tensor(resumed.anchor.policy), clock[1])) == pytest.approx(21 / 30)
    fit(resumed, 1, 2)
    for one, two in zip(undisturbed.variables, resumed.variables, strict=True):
        np.testing.assert_array_equal(*(keras.ops.convert_to_numpy(variable) for variable in (one, two)))


def test_state_of_another_model_is_refused(tmp_path):
    save_checkpoint(toy_model(), [{}], tmp_path)
    other = MAMSFNet(toy_backbone(), ("A",), fusion=False, classifier_activation=None)
    other.compile("adam", CellwiseBCE())
    other.optimizer.build(other.trainable_variables)
    with pytest.raises(ValueError, match="state of another model"):
        assign_state(other, read_checkpoint(tmp_path)[1])
    assert [path.name for path in tmp_path.iterdir()] == ["epoch-0001.npz"]


def without_last_array(data):
    """Returns the same zip file, but for its last entry."""
    with zipfile.ZipFile(io.BytesIO(data)) as file, zipfile.ZipFile(out := io.BytesIO(), "w") as copy:
        for name in file.namelist()[:-1]:
            copy.writestr(name, file.read(name))
    return out.getvalue()


DIRECTORY = b"PK\x01\x02"
"""How an entry of the directory of a zip file begins; its compression and its flags follow."""


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
    ids=["cut", "empty", "byte", "compression", "encryption", "directory", "an array less"],
)
def test_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, capsys, damage):
    model = toy_model()
    for epochs in (1, 2, 3):
        save_checkpoint(model, [{"loss": 0.1}] * epochs, tmp_path)
    newest, before = checkpoints(tmp_path)
    assert (newest.name, before.name) == ("epoch-0003.npz", "epoch-0002.npz")
    newest.write_bytes(damage(newest.read_bytes()))
    history, arrays = read_checkpoint(tmp_path)
    assert history == [{"loss": 0.1}] * 2 and len(arrays) == len(model.variables) + len(model.optimizer.variables)
    assert f"{newest} is damaged and passed over" in capsys.readouterr().out
    before.write_bytes(b"")
    with pytest.raises(ValueError, match="are damaged: begin a new run"):
        read_checkpoint(tmp_path)


def test_checkpoints_are_ordered_by_number(tmp_path):
    for number in (9998, 9999, 10000, 10001):
        (tmp_path / f"epoch-{number:04d}.npz").touch()
    assert [path.stem for path in checkpoints(tmp_path)] == [f"epoch-{n}" for n in (10001, 10000, 9999, 9998)]


if __name__ == "__main__":
    fit(toy_model(), 0, 2, KilledInTheSecondEpoch(Path(sys.argv[1])))

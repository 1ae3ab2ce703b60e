"""Small runs of the toy on the command line, stopped or complete."""

from pathlib import Path

import keras
import numpy as np
from click.testing import CliRunner
from PIL import Image

from mamsf_keras import MAMSFNet, RunDir, TrainConfig, load_model
from mamsf_keras.cli import main
from mamsf_keras.evaluation.calibration import fit_calibration
from mamsf_keras.storage import checksum
from tests.conftest import BACKEND
from tests.toys import toy_backbone

TOY = ("--backbone", "toy", "--weights", "none", "--image-size", 32, "--batch-size", 8)
"""Options of a run that takes a second or two."""
PHASES = (*TOY, "--config", Path(__file__).with_name("phases.yaml"))
"""Options of a run of six epochs in three phases."""


def toy_config(data_dir, **options) -> TrainConfig:
    """The configuration of `TOY`, with two epochs by default."""
    defaults = {"backbone": "toy", "weights": "none", "image_size": 32, "batch_size": 8}
    if "phases" not in options:
        defaults["epochs"] = 2
    return TrainConfig(str(data_dir), **{**defaults, **options})


def train_arguments(data_dir, run_dir, *options):
    """The words of a `train` command with three phases."""
    return ["train", "--data-dir", data_dir, "--run-dir", run_dir, *PHASES, *options]


def invoke(*words):
    """Runs a command and returns its result."""
    return CliRunner().invoke(main, [str(word) for word in words])


def succeeded(*words) -> str:
    """Runs a command that must succeed and returns what it printed."""
    result = invoke(*words)
    assert result.exit_code == 0, result.output
    return result.output


def check_same_files(one, two):
    """Checks that two runs have equal weights, shadow included, and equal histories; on PyTorch the weights to 1e-6."""
    for name in ("history.csv", "history.png"):
        assert (one / name).read_bytes() == (two / name).read_bytes()
    for name in ("best.keras", "last.keras"):
        for a, b in zip(load_model(one / name).get_weights(), load_model(two / name).get_weights(), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-6 if BACKEND == "torch" else 0)


class Killed(Exception):
    """Stops a run in these tests."""


class StopAfter(keras.callbacks.Callback):
    """Raises an error at the end of an epoch, counted from 0, after the files of the run are written."""

    def __init__(self, epoch, error=Killed):
        super().__init__()
        self.epoch = epoch
        self.error = error

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.epoch:
            raise self.error


def untrained_run(folder, findings=("Mass", "Edema"), calibrated=True):
    """Writes the folder of a run with an untrained toy at 32 px and returns its `RunDir`."""
    run = RunDir(folder)
    run.path.mkdir(parents=True)
    toy_config(folder).save(run.config_file)
    MAMSFNet(toy_backbone(), findings).save(run.model("best"))
    if calibrated:
        rng = np.random.default_rng(0)
        labels, probabilities = rng.integers(0, 2, (60, len(findings))), 0.3 + 0.4 * rng.random((60, len(findings)))
        model = checksum(run.model("best"))
        fit_calibration(labels.astype(float), probabilities, findings, np.arange(60), model).save(run.calibration)
    return run


def gray_images(folder, count=5, size=40):
    """Writes random PNG files, `0.png` and so on, and returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number}.png" for number in range(count)]
    for number, path in enumerate(paths):
        pixels = np.random.default_rng(number).integers(0, 256, (size, size), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    return paths

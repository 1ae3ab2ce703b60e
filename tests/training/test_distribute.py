"""Several devices against one; `benchmarks/many_devices.py` prints the same as a table."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from mamsf_keras.cli import main

from benchmarks.many_devices import differences
from mamsf_keras.config import LOSSES
from mamsf_keras.training import build
from tests.conftest import BACKEND, toy_backbone, write_nih

OPTIONS = "--image-size 32 --batch-size 4 --weights none --epochs 2 --augment none"


@pytest.mark.slow
@pytest.mark.tensorflow
def test_two_devices_and_two_processes_train_as_one():
    found = list(differences(LOSSES))
    assert len(found) == 3 * len(LOSSES)
    for way, devices, processes, loss, difference, _, spread in found:
        assert devices == 2 and processes == (2 if way == "hosts" else 1)
        assert 0 < difference < 1e-5, (way, loss)
        assert spread == 0, (way, loss)


@pytest.fixture
def odd_nih(tmp_path):
    """45 training images, 9 test images, one a patient, and some for validation."""
    rows = [(f"{n:08d}_000.png", ("Mass", "Nodule", "No Finding")[n % 3], str(n)) for n in range(1, 60)]
    return write_nih(tmp_path / "nih", rows, test_from=51)


@pytest.mark.skipif(BACKEND == "torch", reason="PyTorch trains on one device")
def test_odd_numbers_of_images_on_two_devices(odd_nih, tmp_path):
    """Each test image is predicted once, and as one device does."""
    distribute = {"tensorflow": "mirrored", "jax": "data-parallel"}[BACKEND]
    frames = {}
    for way in ("none", distribute):
        text = run_process("train", "--data-dir", odd_nih, "--run-dir", tmp_path / way, "--distribute", way)
        assert "Epoch 2/2" in text
        run_process("evaluate", "--run-dir", tmp_path / way)
        frames[way] = pd.read_csv(tmp_path / way / "predictions-test.csv")
        history = pd.read_csv(tmp_path / way / "history.csv")
        assert len(history) == 2 and history["val_auroc"].notna().all()
    one, two = frames["none"], frames[distribute]
    assert len(two) == 9 and two["image"].tolist() == one["image"].tolist()
    if BACKEND == "jax":  # its batch norm sees the whole batch, as on one device
        np.testing.assert_allclose(two["Mass"], one["Mass"], rtol=1e-4)


def test_what_cannot_be_distributed(small_nih, tmp_path):
    other = {"tensorflow": "data-parallel", "jax": "mirrored", "torch": "mirrored"}[BACKEND]
    words = ["train", "--data-dir", str(small_nih), "--run-dir", str(tmp_path / "run"), *OPTIONS.split()]
    result = CliRunner().invoke(main, [*words, "--distribute", other])
    assert result.exit_code == 1 and f"--distribute {other} needs --backend" in result.stderr
    if BACKEND == "torch":
        return
    way = {"tensorflow": "mirrored", "jax": "data-parallel"}[BACKEND]
    text = run_process(*words, "--distribute", way, "--batch-size", 5, code=1)
    assert "2 devices cannot share a batch of 5 images evenly: use --batch-size 4" in text
    assert not (tmp_path / "run").exists()


def run_process(*words, code=0):
    """Runs a command with toys on two devices in a process of its own."""
    options = OPTIONS.split() if words[0] == "train" else []
    words = [words[0], *options, *map(str, words[1:])]
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.training.test_distribute", *words],
        cwd=Path(__file__).parents[2],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


if __name__ == "__main__":
    build.efficientnetv2 = lambda name, cut, weights, image_size: toy_backbone(image_size)
    if BACKEND == "tensorflow":
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    main(sys.argv[1:])

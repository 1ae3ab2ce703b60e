"""Several devices against one; `benchmarks/many_devices.py` prints the same as a table."""

import json
import sys

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from mamsf_keras.cli import main

from benchmarks.many_devices import differences, run_together
from mamsf_keras.config import LOSSES
from mamsf_keras.training import build
from tests.conftest import BACKEND, toy_backbone, toy_efficientnetv2, write_nih

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
    """It trains, its file has 9 predictions, and what it was chosen by is the AUROC of its file on one device."""
    run = tmp_path / "run"
    distribute = {"tensorflow": "mirrored", "jax": "data-parallel"}[BACKEND]
    text = run_process("train", "--data-dir", odd_nih, "--run-dir", run, "--distribute", distribute)
    assert "Epoch 2/2" in text
    text = run_process("evaluate", "--run-dir", run)
    predictions = pd.read_csv(run / "predictions-test.csv")
    assert len(predictions) == predictions["image"].nunique() == 9
    run_process("evaluate", "--run-dir", run, "--split", "validation")
    alone = json.loads((run / "metrics-validation.json").read_text())["mean_auroc"]
    assert pd.read_csv(run / "history.csv")["val_auroc"].max() == pytest.approx(alone, abs=1e-9)


@pytest.mark.skipif(BACKEND == "torch", reason="PyTorch trains on one device")
def test_two_devices_predict_what_one_does():
    """All images once, the last batch filled up, after the batch norms of the devices saw different images."""
    assert "equal: True" in run_process("predict")


@pytest.mark.slow
@pytest.mark.tensorflow
def test_two_processes_train_one_run_and_resume_it(odd_nih, tmp_path):
    """On JAX; once, beside TensorFlow's tests."""
    for run, count in (("one", 1), ("two", 2)):
        words = ("train", "--data-dir", odd_nih, "--run-dir", tmp_path / run, "--distribute", "data-parallel")
        run_process(*words, processes=count, backend="jax")
        run_process("train", "--run-dir", tmp_path / run, "--resume", "--epochs", 3, processes=count, backend="jax")
    one, two = (pd.read_csv(tmp_path / run / "history.csv") for run in ("one", "two"))
    assert len(one) == 3
    pd.testing.assert_frame_equal(one, two, rtol=1e-3)
    text = run_process(*words, processes=2, code=1, backend="jax")
    assert text.count("Error: The run folder") == 2


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


def run_process(*words, code=0, processes=1, backend=BACKEND):
    """Runs a command with toys on two devices: of one process of its own, or of two with one each."""
    options = OPTIONS.split() if words[0] == "train" and "--resume" not in words else []
    command = [sys.executable, "-m", "tests.training.test_distribute", words[0], *options, *map(str, words[1:])]
    codes, text = run_together(command, processes, 2 // processes, backend, timeout=300)
    assert codes == [code] * processes, text
    return text


def predict_twice():
    """Predicts with two devices and with one after a step that gave the devices different batch norms."""
    from mamsf_keras import MAMSFNet
    from mamsf_keras.data.stream import Stream
    from mamsf_keras.evaluation.predictions import predict
    from mamsf_keras.training.distribute import devices_for

    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (9, 32, 32), dtype=np.uint8)
    pixels[2:4] //= 9  # dark ones, for the second device
    stream = Stream(pd.DataFrame({"image": "", "path": "", "A": [0, 1, 0, 1, 0, 1, 0, 1, 0]}), ("A",), 32, 4)
    stream.read = pixels.__getitem__
    devices = devices_for({"tensorflow": "mirrored", "jax": "data-parallel"}[BACKEND])
    with devices.scope:
        model = MAMSFNet(toy_backbone(), ("A",))
        model.compile("sgd", "binary_crossentropy")
        labels = stream.labels[:4]
        model.fit(pixels[:4, ..., None], labels, batch_size=4, shuffle=False, callbacks=[*devices.callbacks])
        many = predict(model, stream)
    alone = MAMSFNet(toy_backbone(), ("A",))
    alone.set_weights(model.get_weights())
    one = predict(alone, stream)
    print("equal:", many.shape == one.shape == (9, 1) and np.allclose(many, one, rtol=1e-5))


if __name__ == "__main__":
    build.efficientnetv2 = toy_efficientnetv2
    if BACKEND == "tensorflow":
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    predict_twice() if sys.argv[1] == "predict" else main(sys.argv[1:])

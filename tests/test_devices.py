"""Several devices against one. Run as a module, it is the command line on two devices, or it predicts on them."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from keras.src.utils.module_utils import tensorflow

from benchmarks.many_devices import differences, run_together
from mamsf_keras.cli import main
from mamsf_keras.config import LOSSES
from mamsf_keras.data.batches.stream import Stream
from mamsf_keras.devices import (
    Devices,
    find_devices,
    list_devices,
    on_gpu,
    temporarily,
    this_process_alone,
    without_tensorflow,
)
from mamsf_keras.predictors.keras_model import KerasPredictor
from tests.conftest import BACKEND
from tests.runs import invoke
from tests.toys import array_dataset, toy_backbone, write_nih

ROOT = Path(__file__).parents[1]
OPTIONS = "--backbone toy --image-size 32 --batch-size 4 --weights none --epochs 2 --augment none --no-fusion".split()
DISTRIBUTE = {"tensorflow": "mirrored", "jax": "data-parallel"}.get(BACKEND)
two_devices = pytest.mark.skipif(BACKEND == "torch", reason="PyTorch trains on one device")


@pytest.mark.slow
@pytest.mark.tensorflow
def test_two_devices_or_processes_equal_one_device():
    found = list(differences(LOSSES))
    assert len(found) == 3 * len(LOSSES)
    for way, devices, processes, loss, difference, _, spread in found:
        assert devices == 2 and processes == (2 if way == "hosts" else 1)
        assert 0 < difference < 1e-5, (way, loss)
        assert spread == 0, (way, loss)


@pytest.fixture
def odd_nih(tmp_path):
    """45 training images, 9 test images, one per patient, and some for validation."""
    rows = [(f"{n:08d}_000.png", ("Mass", "Nodule", "No Finding")[n % 3], str(n)) for n in range(1, 60)]
    return write_nih(tmp_path / "nih", rows, test_from=51)


@two_devices
def test_odd_numbers_of_images_on_two_devices(odd_nih, tmp_path):
    """Training works, the file has 9 predictions, and one device computes the same best score from the saved model."""
    run = tmp_path / "run"
    text = run_process("train", "--data-dir", odd_nih, "--run-dir", run, "--distribute", DISTRIBUTE)
    assert "epoch 2/2" in text
    for split in ("test", "validation"):
        result = invoke("evaluate", "--run-dir", run, "--split", split)
        assert result.exit_code == 0, result.output
    predictions = pd.read_csv(run / "predictions-test.csv")
    assert len(predictions) == predictions["image"].nunique() == 9
    alone = json.loads((run / "metrics-validation.json").read_text())["mean_auroc"]
    assert pd.read_csv(run / "history.csv")["val_auroc"].max() == pytest.approx(alone, abs=1e-9)


@two_devices
def test_two_devices_predict_the_same_as_one():
    """All images once, the last batch filled up, after batch norm has seen other images on each device."""
    assert "equal: True" in run_process("predict")


@pytest.mark.slow
@pytest.mark.tensorflow
def test_two_processes_train_one_run_and_resume_it(odd_nih, tmp_path):
    """Runs on JAX, once, with the TensorFlow tests."""
    for run, count in (("one", 1), ("two", 2)):
        words = ("train", "--data-dir", odd_nih, "--run-dir", tmp_path / run, "--distribute", "data-parallel")
        run_process(*words, processes=count, backend="jax")
        run_process("train", "--run-dir", tmp_path / run, "--resume", "--epochs", 3, processes=count, backend="jax")
    one, two = (pd.read_csv(tmp_path / run / "history.csv") for run in ("one", "two"))
    assert len(one) == 3
    pd.testing.assert_frame_equal(one, two, rtol=1e-3)
    text = run_process(*words, processes=2, code=1, backend="jax")
    assert text.count("Error: The run folder") == 2


def test_backend_that_does_not_support_the_distribution_is_refused(small_nih, tmp_path):
    other = {"tensorflow": "data-parallel", "jax": "mirrored", "torch": "mirrored"}[BACKEND]
    with pytest.raises(ValueError, match=f"`distribute` {other} needs `backend` .*Keras runs on {BACKEND}"):
        find_devices(other)
    words = ["train", "--data-dir", small_nih, "--run-dir", tmp_path / "run", *OPTIONS]
    result = invoke(*words, "--distribute", other)
    assert result.exit_code == 1 and f"--distribute {other} needs --backend" in result.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.tensorflow
def test_batch_size_that_is_not_a_multiple_of_the_devices_is_refused(small_nih, tmp_path):
    words = ("train", "--data-dir", small_nih, "--run-dir", tmp_path / "run", "--distribute", DISTRIBUTE)
    text = run_process(*words, "--batch-size", 5, code=1)
    assert "--batch-size must be a multiple of the 2 devices, such as 4. Received: batch_size=5." in text
    assert not (tmp_path / "run").exists()


@pytest.mark.tensorflow
@pytest.mark.parametrize(("batch_size", "count", "fitting"), [(5, 2, 4), (1, 2, 2), (7, 4, 4), (3, 4, 4)])
def test_batch_must_be_a_multiple_of_the_devices(batch_size, count, fitting):
    with pytest.raises(ValueError, match=f"multiple of the {count} devices, such as {fitting}. Received: batch_size="):
        Devices(contextlib.nullcontext(), count).check_batch(batch_size)
    Devices(contextlib.nullcontext(), count).check_batch(fitting)


@pytest.mark.tensorflow
def test_first_process_writes():
    assert [Devices(contextlib.nullcontext(), 2, False, process, 2).writes for process in (0, 1)] == [True, False]


def test_one_device_is_the_default():
    devices = find_devices("none")
    assert (devices.count, devices.mirrored, devices.processes, devices.writes) == (1, False, 1, True)
    devices.wait("nobody")
    devices.check_batch(7)


@pytest.mark.skipif(BACKEND != "jax", reason="keras.distribution runs on JAX")
def test_hosts_need_all_environment_variables(monkeypatch):
    monkeypatch.setenv("KERAS_DISTRIBUTION_NUM_PROCESSES", "2")
    with pytest.raises(
        ValueError, match="Training on several hosts needs all of the environment variables .*JOB_ADDRESSES"
    ):
        find_devices("data-parallel")


def test_devices_equal_those_of_the_backend():
    computed = keras.ops.ones(2)
    device = {
        "tensorflow": lambda: computed.device,
        "jax": lambda: str(computed.device.platform),
        "torch": lambda: computed.device.type,
    }[BACKEND]()
    kind = "cpu" if "cpu" in device.lower() else "gpu"
    names = [name.lower() for name in list_devices()]
    assert names and any(kind in name.replace("cuda", "gpu") for name in names)
    assert on_gpu() == (kind == "gpu")


@pytest.mark.tensorflow
def test_setting_is_restored_after_an_error():
    values = ["before"]
    with pytest.raises(KeyError), temporarily(lambda: values[-1], values.append, "inside"):
        assert values[-1] == "inside"
        raise KeyError
    assert values == ["before", "inside", "before"]


@pytest.mark.skipif(BACKEND != "jax", reason="keras.distribution runs on JAX")
def test_model_of_only_this_process_is_not_distributed():
    distribution = keras.distribution.DataParallel(devices=["cpu:0"])
    with temporarily(keras.distribution.distribution, keras.distribution.set_distribution, distribution):
        with this_process_alone():
            assert keras.distribution.distribution() is None
        assert keras.distribution.distribution() is distribution


def test_keras_finds_tensorflow_inside_the_block_only_where_it_is_the_backend_or_imported():
    available = BACKEND == "tensorflow" or "tensorflow" in sys.modules
    with without_tensorflow():
        assert tensorflow.available == available
    assert ("tensorflow" in sys.modules) == available


@pytest.mark.slow
def test_deterministic_operations():
    """Without them, these are not deterministic or not known to be: each backend says so in its own way."""
    code = """
import keras
from mamsf_keras.devices import make_deterministic

make_deterministic()
backend = keras.backend.backend()
if backend == "torch":
    import torch
    assert torch.are_deterministic_algorithms_enabled()
elif backend == "jax":
    import os
    assert "--xla_gpu_deterministic_ops=true" in os.environ["XLA_FLAGS"].split()
else:
    import tensorflow as tf
    try:
        tf.random.normal((2,))  # without a seed
    except RuntimeError as error:
        assert "determinism" in str(error)
    else:
        raise AssertionError
"""
    environment = {**os.environ, "KERAS_BACKEND": BACKEND}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def run_process(*words, code=0, processes=1, backend=BACKEND):
    """Runs a command with toys on two devices, in one process with both or in two processes with one each."""
    options = OPTIONS if words[0] == "train" and "--resume" not in words else []
    command = [sys.executable, "-m", "tests.test_devices", words[0], *options, *map(str, words[1:])]
    codes, text = run_together(command, processes, 2 // processes, backend, timeout=300)
    assert codes == [code] * processes, text
    return text


def predict_on_two_devices_and_on_one():
    """Predicts after a step in which the devices saw different images, and prints whether the results are equal."""
    from mamsf_keras import MAMSFNet
    from mamsf_keras.training.callbacks.sync_replicas import SyncReplicas

    pixels = np.random.default_rng(0).integers(0, 256, (9, 32, 32), dtype=np.uint8)
    pixels[2:4] //= 9  # dark ones, for the second device
    labels = np.array([[0, 1, 0, 1, 0, 1, 0, 1, 0]], "float32").T
    stream = Stream(array_dataset(pixels, labels, ("A",)), 32, 4)
    devices = find_devices(DISTRIBUTE)
    with devices.scope:
        model = MAMSFNet(toy_backbone(), ("A",))
        model.compile("sgd", "binary_crossentropy")
        callbacks = [SyncReplicas()] if devices.mirrored else []
        model.fit(pixels[:4, ..., None], labels[:4], batch_size=4, shuffle=False, callbacks=callbacks)
        many = KerasPredictor(model).predict_stream(stream)
    alone = MAMSFNet(toy_backbone(), ("A",))
    alone.set_weights(model.get_weights())
    one = KerasPredictor(alone).predict_stream(stream)
    print("equal:", many.shape == one.shape == (9, 1) and np.allclose(many, one, rtol=1e-5))


if __name__ == "__main__":
    if BACKEND == "tensorflow":
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    predict_on_two_devices_and_on_one() if sys.argv[1] == "predict" else main(sys.argv[1:])

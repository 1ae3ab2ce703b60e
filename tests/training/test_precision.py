import keras
import numpy as np
import pandas as pd
import pytest

from mamsf_keras import MAMSFNet, TrainConfig, load_model, train
from mamsf_keras.training.build import dtype_policy
from mamsf_keras.training.callbacks import StopOnBadLoss
from mamsf_keras.training.train import check_backend
from tests.conftest import BACKEND, toy_backbone


def test_probabilities_near_one_stay_apart_in_float16():
    """Logits 8, 9, 10 from the model's own head; a float16 sigmoid gives 1.0 for each."""
    with dtype_policy("mixed_float16"):
        model = MAMSFNet(toy_backbone(32), ("A", "B", "C"))
    assert model.final_block.layers[1].compute_dtype == "float16"
    kernel, bias = model.classifier.weights
    kernel.assign(np.zeros(kernel.shape))
    bias.assign([8.0, 9.0, 10.0])
    outputs = model.predict(np.zeros((2, 32, 32, 1), np.uint8), verbose=0)
    assert outputs.dtype == np.float32
    np.testing.assert_allclose(outputs[0], 1 / (1 + np.exp([-8.0, -9.0, -10.0])), rtol=1e-6)
    assert len(set(outputs[0].tolist())) == 3 and outputs.max() < 1
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_a_mixed_run_leaves_float32_models(small_nih, tmp_path, toy_training, precision):
    options = {"weights": "none", "image_size": 64, "batch_size": 8, "epochs": 2, "precision": precision}
    train(TrainConfig(str(small_nih), **options), tmp_path / "run")
    model = load_model(tmp_path / "run" / "last.keras")
    assert isinstance(model, MAMSFNet)
    assert {layer.compute_dtype for layer in model.final_block.layers} == {"float32"}
    assert np.isfinite(pd.read_csv(tmp_path / "run" / "history.csv")).all(axis=None)
    assert keras.ops.convert_to_numpy(model.anchor.clock).tolist() == [0, 12]


@pytest.mark.tensorflow
def test_where_bfloat16_gradients_are_wrong_is_refused(small_nih, tmp_path, monkeypatch):
    """Found as a loss of NaN: on a CPU, 5x5 kernels on a feature map of one pixel."""
    config = TrainConfig(str(small_nih), weights="none", image_size=32, batch_size=8, precision="mixed_bfloat16")
    with pytest.raises(ValueError, match="bfloat16 gradient of a 5x5 kernel"):
        train(config, tmp_path / "run")
    monkeypatch.setattr("mamsf_keras.training.environment.devices", lambda: ["gpu:0"])
    check_backend(config)


def test_steps_per_execution(small_nih, tmp_path, toy_training):
    """The same run as with one step an execution; Keras has no more on PyTorch, and that is said."""
    options = {"weights": "none", "image_size": 32, "batch_size": 8, "epochs": 2}
    several = TrainConfig(str(small_nih), **options, steps_per_execution=3)
    if BACKEND == "torch":
        with pytest.raises(ValueError, match="PyTorch runs one step at a time"):
            train(several, tmp_path / "several")
        return
    train(several, tmp_path / "several")
    train(TrainConfig(str(small_nih), **options), tmp_path / "one")
    for a, b in zip(*(load_model(tmp_path / n / "last.keras").get_weights() for n in ("one", "several")), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.skipif(BACKEND == "torch", reason="PyTorch traces nothing")
def test_no_tracing_after_the_first_step_of_a_phase(small_nih, tmp_path, toy_training, monkeypatch):
    calls, seen = [], []
    call = MAMSFNet.call

    def counted(self, images, training=False):
        calls.append(training)
        return call(self, images, training=training)

    class Count(StopOnBadLoss):
        def on_train_batch_end(self, batch, logs=None):
            super().on_train_batch_end(batch, logs)
            seen.append(calls.count(True))

    monkeypatch.setattr(MAMSFNet, "call", counted)
    monkeypatch.setattr("mamsf_keras.training.train.StopOnBadLoss", Count)
    options = {"weights": "none", "image_size": 32, "batch_size": 8, "epochs": 4, "freeze_epochs": 1}
    train(TrainConfig(str(small_nih), **options), tmp_path / "run")
    frozen, whole = seen[:6], seen[6:]
    assert len(whole) == 18 and frozen[0] >= 1
    assert frozen == [frozen[0]] * 6 and whole == [whole[0]] * 18

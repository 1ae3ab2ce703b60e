import keras
import numpy as np
import pandas as pd
import pytest

from mamsf_keras import MAMSFNet
from mamsf_keras.data.batches.stream import Stream
from mamsf_keras.training.callbacks.stop_on_non_finite import StopOnNonFinite
from mamsf_keras.training.losses import CellwiseBCE
from tests.toys import array_dataset, toy_backbone

IMAGES = np.random.default_rng(0).integers(0, 256, (24, 32, 32), dtype=np.uint8)
STREAM = Stream(array_dataset(IMAGES, np.zeros((24, 1), "float32"), ("A",)), 32, 4, seed=3)
STEPS = STREAM.steps_per_pass


def compiled_model():
    model = MAMSFNet(toy_backbone(), ("A",), use_fusion=False, classifier_activation=None)
    model.compile(keras.optimizers.SGD(0.125), CellwiseBCE())
    return model


def started(file=None, epoch=0, **options):
    """The callback in the middle of an epoch of a model that does not train."""
    callback = StopOnNonFinite(STREAM, STEPS, file=file, **options)
    callback.set_model(compiled_model())
    callback.on_epoch_begin(epoch)
    return callback


def names_of_steps(*steps):
    """The images of steps, by the rule of the stream."""
    orders = {n: np.random.default_rng([3, n]).permutation(24).reshape(STEPS, 4) for n in {s // STEPS for s in steps}}
    return [str(row) for step in steps for row in orders[step // STEPS][step % STEPS]]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_fit_ends_with_an_error_that_names_the_images(tmp_path, bad):
    file = tmp_path / "bad-batch.csv"
    targets = np.zeros((24, 1), "float32")
    targets[9] = bad  # in step 2 of an epoch that is not shuffled
    callback = StopOnNonFinite(STREAM, STEPS, file=file)
    with pytest.raises(ValueError, match=r"The loss became (nan|-?inf) at epoch 1, step 3") as error:
        compiled_model().fit(IMAGES[..., None], targets, batch_size=4, shuffle=False, verbose=0, callbacks=[callback])
    assert f"the learning rate is now 0.125; use a lower `learning_rate`. The images of that step: {file}" in str(
        error.value
    )
    assert pd.read_csv(file, dtype=str)["image"].tolist() == names_of_steps(2)


@pytest.mark.tensorflow
def test_finite_loss_does_not_stop_training():
    callback = started()
    for step in range(STEPS):
        callback.on_train_batch_end(step, {"loss": 1e30})
    callback.on_epoch_end(0)
    assert not callback.model.stop_training


@pytest.mark.tensorflow
def test_first_bad_step_counts_regardless_of_the_reporting_order(tmp_path):
    """Keras calls an async-safe callback from several threads. The mean over the epoch stays NaN after a bad step."""
    callback = started(tmp_path / "bad.csv", epoch=1)
    for step, loss in ((0, 0.5), (4, np.nan), (2, np.inf), (5, np.nan), (1, 0.5), (3, np.nan)):
        callback.on_train_batch_end(step, {"loss": loss})
    assert callback.model.stop_training
    with pytest.raises(ValueError, match="The loss became inf at epoch 2, step 3"):
        callback.on_epoch_end(1)
    assert pd.read_csv(tmp_path / "bad.csv", dtype=str)["image"].tolist() == names_of_steps(STEPS + 2)


@pytest.mark.tensorflow
def test_all_images_of_an_execution_are_named(tmp_path):
    """Keras reports the last step of each execution."""
    callback = started(tmp_path / "bad.csv", steps_per_execution=3)
    callback.on_train_batch_end(2, {"loss": 0.5})
    callback.on_train_batch_end(5, {"loss": np.nan})
    with pytest.raises(ValueError, match="step 6"):
        callback.on_epoch_end(0)
    assert pd.read_csv(tmp_path / "bad.csv", dtype=str)["image"].tolist() == names_of_steps(3, 4, 5)


@pytest.mark.tensorflow
def test_process_that_does_not_write_raises_the_same_error_without_a_file():
    callback = started()
    callback.on_train_batch_end(1, {"loss": np.nan})
    with pytest.raises(ValueError, match="The loss became nan at epoch 1, step 2; .*`learning_rate`.$"):
        callback.on_epoch_end(0)


def test_float16_overflow_does_not_suggest_a_lower_learning_rate():
    callback = started()
    callback.model.compile(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.125)), CellwiseBCE())
    callback.on_train_batch_end(1, {"loss": np.nan})
    with pytest.raises(ValueError, match="overflowed float16 .* use `precision` mixed_bfloat16 or float32.$") as error:
        callback.on_epoch_end(0)
    assert "learning" not in str(error.value)


@pytest.mark.tensorflow
def test_state_is_reset_at_each_epoch():
    callback = started()
    callback.on_train_batch_end(1, {"loss": np.nan})
    assert callback.bad
    callback.on_epoch_begin(1)
    assert callback.bad is None
    callback.on_epoch_end(1)  # raises nothing

"""Without TensorFlow the same batches come through `keras.utils.PyDataset`."""

import keras
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mamsf_keras.config import TrainConfig
from mamsf_keras.data import pipeline
from mamsf_keras.data.pipeline import dataset as tf_data
from mamsf_keras.data.py_dataset import stream_batches, stream_images
from mamsf_keras.data.stream import Stream
from mamsf_keras.evaluation.evaluate import evaluate
from mamsf_keras.training.train import train


@pytest.fixture
def stream(tmp_path):
    paths = []
    for row in range(11):
        paths.append(str(tmp_path / f"{row}.png"))
        pixels = np.random.default_rng(row).integers(0, 256, (16, 16), dtype=np.uint8)
        Image.fromarray(pixels).save(paths[-1])
    table = pd.DataFrame({"image": paths, "path": paths, "A": np.arange(11) % 2})
    return Stream(table, ("A",), image_size=16, batch_size=3, augment="light", seed=5)


class Sums(keras.Model):
    """Gives the sum of each image and keeps nothing."""

    def __init__(self):
        super().__init__()
        self.scale = self.add_weight((), initializer="ones")

    def call(self, images):
        return keras.ops.sum(keras.ops.cast(images, "float32"), axis=(1, 2)) * self.scale


@pytest.mark.parametrize("workers", [1, 4])
def test_fit_sees_the_batches_of_the_stream_in_order(stream, workers):
    expected = [stream.batch(step)[0].astype(np.float64).sum() / 3 for step in range(2, 8)]
    model = Sums()
    model.compile(keras.optimizers.SGD(0.0), loss=lambda y_true, y_pred: y_pred[:, 0] + 0 * y_true[:, 0])
    losses = []

    class Record(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs):
            losses.append(logs["loss"])

    batches = stream_batches(stream, start=2, workers=workers)
    model.fit(batches, epochs=6, steps_per_epoch=1, shuffle=False, callbacks=[Record()], verbose=0)
    np.testing.assert_allclose(losses, expected, rtol=1e-6)


@pytest.mark.parametrize("workers", [1, 4])
def test_every_image_is_predicted_once_in_order(stream, workers):
    outputs = Sums().predict(stream_images(stream, workers=workers), verbose=0)[:11, 0]
    np.testing.assert_allclose(outputs, [stream.read(row).astype(np.float64).sum() for row in range(11)], rtol=1e-6)


def test_the_same_bytes_as_through_tf_data(stream):
    for step, batch in enumerate(tf_data(stream, 8, 4).as_numpy_iterator()):
        for one, two in zip(batch, stream_batches(stream, 4)[step], strict=True):
            np.testing.assert_array_equal(one, two)


def test_train_and_evaluate_without_tensorflow(small_nih, tmp_path, toy_training, monkeypatch):
    if keras.backend.backend() == "tensorflow":
        pytest.skip("TensorFlow is the backend")
    config = TrainConfig(str(small_nih), image_size=32, batch_size=8, epochs=2, weights="none")
    with monkeypatch.context() as without:
        without.setattr(pipeline, "has_tensorflow", lambda: False)
        train(config, tmp_path / "one")
        evaluate(tmp_path / "one")
    train(config, tmp_path / "two")
    evaluate(tmp_path / "two")
    one, two = (pd.read_csv(tmp_path / name / "predictions-test.csv") for name in ("one", "two"))
    pd.testing.assert_frame_equal(one, two, rtol=1e-5)

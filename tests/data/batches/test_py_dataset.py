"""`keras.utils.PyDataset` gives the batches of the stream. It feeds JAX and PyTorch, and works on TensorFlow too."""

import threading

import keras
import numpy as np
import pytest

from mamsf_keras.data.batches.py_dataset import ReadAhead, evaluation_dataset, training_dataset
from mamsf_keras.data.batches.stream import Stream
from tests.toys import image_dataset


@pytest.fixture
def stream(tmp_path):
    dataset = image_dataset(tmp_path, A=np.arange(11) % 2)
    return Stream(dataset, image_size=16, batch_size=3, augment="light", seed=5)


class Sums(keras.Model):
    """Returns the sum of each image."""

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

    batches = training_dataset(stream, start=2, workers=workers)
    model.fit(batches, epochs=6, steps_per_epoch=1, shuffle=False, callbacks=[Record()], verbose=0)
    np.testing.assert_allclose(losses, expected, rtol=1e-6)


@pytest.mark.parametrize("workers", [1, 4])
def test_every_image_is_predicted_once_in_order(stream, workers):
    outputs = Sums().predict(evaluation_dataset(stream, workers=workers), verbose=0)[:11, 0]
    np.testing.assert_allclose(outputs, [stream.read(row).astype(np.float64).sum() for row in range(11)], rtol=1e-6)


@pytest.mark.parametrize("workers", [1, 4])
def test_run_resumed_in_the_second_pass_reads_the_same_bytes_from_a_cache(make_cached_stream, three_passes, workers):
    for start in (0, len(three_passes) // 2):
        batches = training_dataset(make_cached_stream(), start, workers)
        for index, wanted in enumerate(three_passes[start:]):
            assert [array.tobytes() for array in batches[index]] == wanted


@pytest.mark.no_keras
def test_batches_are_read_ahead_once_each_in_other_threads():
    read, threads = [], set()

    def square(index):
        threads.add(threading.current_thread())
        read.append(index)
        return index**2

    batches = ReadAhead(square, 7, workers=2)
    assert batches[0] == 0
    batches.pool.shutdown()  # waits for what has been started
    assert sorted(read) == [0, 1, 2, 3]  # two batches per worker
    assert threading.main_thread() not in threads

    read.clear()
    batches = ReadAhead(square, 7, workers=2)
    assert [batches[index] for index in range(7)] == [0, 1, 4, 9, 16, 25, 36]
    batches.pool.shutdown()
    assert sorted(read) == list(range(7))
    assert batches.num_batches == 7 and ReadAhead(square, None).num_batches is None


@pytest.mark.no_keras
def test_batch_after_a_jump_equals_that_of_its_index():
    batches = ReadAhead(lambda index: index**2, None, workers=2)
    assert [batches[index] for index in (5, 0, 100, 3, 3)] == [25, 0, 10_000, 9, 9]

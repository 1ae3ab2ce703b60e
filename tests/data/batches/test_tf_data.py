"""`tf.data` gives the batches of the stream. It feeds the TensorFlow backend alone."""

import keras
import numpy as np
import pytest

from mamsf_keras.data.batches.py_dataset import training_dataset as as_py_dataset
from mamsf_keras.data.batches.stream import Stream, named_errors
from tests.toys import image_dataset

pytestmark = pytest.mark.tensorflow
if keras.backend.backend() == "tensorflow":
    from mamsf_keras.data.batches.tf_data import evaluation_dataset, training_dataset


@pytest.fixture
def dataset(tmp_path):
    return image_dataset(tmp_path, A=np.arange(11) % 2, B=np.arange(11) // 6)


def make_stream(dataset, **options):
    return Stream(dataset, image_size=16, batch_size=3, seed=5, **options)


@pytest.mark.parametrize("augment", ["none", "light"])
def test_batches_equal_those_of_the_stream_from_any_step(dataset, augment):
    stream = make_stream(dataset, augment=augment)
    for start in (0, 4):
        batches = list(training_dataset(stream, start, 8).as_numpy_iterator())
        assert len(batches) == 8 - start
        for step, batch in enumerate(batches, start):
            for got, expected in zip(batch, stream.batch(step), strict=True):
                np.testing.assert_array_equal(got, expected)
                assert got.dtype == expected.dtype


def test_shapes_are_static(dataset):
    images, labels, weights = training_dataset(make_stream(dataset), 0, 1).element_spec
    assert [tuple(spec.shape) for spec in (images, labels, weights)] == [(3, 16, 16, 1), (3, 2), (3, 2)]
    assert tuple(evaluation_dataset(make_stream(dataset)).element_spec.shape) == (3, 16, 16, 1)


@pytest.mark.parametrize("workers", [1, 4])
def test_run_resumed_in_the_second_pass_reads_the_same_bytes_from_a_cache(make_cached_stream, three_passes, workers):
    for start in (0, len(three_passes) // 2):
        batches = training_dataset(make_cached_stream(), start, len(three_passes), workers).as_numpy_iterator()
        assert [[array.tobytes() for array in batch] for batch in batches] == three_passes[start:]


def test_batches_have_the_same_bytes_as_through_a_py_dataset(dataset):
    stream = make_stream(dataset, augment="light")
    for step, batch in enumerate(training_dataset(stream, 4, 8).as_numpy_iterator()):
        for one, two in zip(batch, as_py_dataset(stream, 4)[step], strict=True):
            np.testing.assert_array_equal(one, two)


def test_strong_augmentation_keeps_labels_and_order_and_changes_images(dataset):
    stream = make_stream(dataset, augment="strong")
    changed = 0
    for step, (images, labels, _) in enumerate(training_dataset(stream, 0, 3).as_numpy_iterator()):
        assert images.shape == (3, 16, 16, 1) and images.dtype == np.uint8
        expected = stream.batch(step)
        np.testing.assert_array_equal(labels, expected[1])
        changed += (images != expected[0]).any()
    assert changed == 3


def test_evaluation_reads_every_image_once_in_order(dataset):
    stream = make_stream(dataset, augment="light")
    images = np.concatenate(list(evaluation_dataset(stream).as_numpy_iterator()))
    assert images.shape == (12, 16, 16, 1)
    for row in range(12):
        np.testing.assert_array_equal(images[row, :, :, 0], stream.read(min(row, 10)))


def test_damaged_image_is_named(dataset):
    with open(dataset.table["path"][4], "r+b") as file:
        file.truncate(40)
    stream = make_stream(dataset)
    with pytest.raises(ValueError, match=r"4\.png cannot be read as an image"), named_errors(stream):
        list(evaluation_dataset(stream))


def test_no_thread_tunes_the_pipeline(dataset):
    """Such a thread can delay the end of its iterator by as long as it has lived."""
    stream = make_stream(dataset)
    for batches in (training_dataset(stream, 0, 3), evaluation_dataset(stream)):
        assert batches.options().autotune.enabled is False

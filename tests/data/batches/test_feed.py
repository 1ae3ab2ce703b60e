import dataclasses
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from mamsf_keras.data.batches.feed import evaluation_batches, training_batches
from mamsf_keras.data.batches.stream import Stream
from tests.conftest import BACKEND
from tests.toys import image_dataset

ROOT = Path(__file__).parents[3]


@pytest.fixture
def dataset(tmp_path):
    return image_dataset(tmp_path, A=np.arange(11) % 2)


def make_stream(dataset, **options):
    return Stream(dataset, image_size=16, batch_size=3, seed=5, **options)


def test_tf_data_feeds_tensorflow_and_a_py_dataset_the_others(dataset):
    stream = make_stream(dataset, augment="light")
    for batches in (training_batches(stream, 2, 6), evaluation_batches(stream)):
        assert isinstance(batches, keras.utils.PyDataset) == (BACKEND != "tensorflow")
    batches = training_batches(stream, 2, 6)
    first = next(iter(batches)) if BACKEND == "tensorflow" else batches[0]
    for got, expected in zip(first, stream.batch(2), strict=True):
        np.testing.assert_array_equal(got, expected)


class Means(keras.Model):
    """Returns the mean of each image."""

    def call(self, images):
        return keras.ops.mean(keras.ops.cast(images, "float32"), axis=(1, 2))


def test_every_image_is_predicted_once_in_order(dataset):
    stream = make_stream(dataset, augment="light")
    means = Means().predict(evaluation_batches(stream), verbose=0)
    assert means.shape == (12, 1)
    np.testing.assert_allclose(means[:11, 0], [stream.read(row).mean() for row in range(11)], rtol=1e-5)


def test_too_few_images_for_a_batch_are_refused(dataset):
    stream = make_stream(dataclasses.replace(dataset, table=dataset.table.head(2)))
    with pytest.raises(ValueError, match="`batch_size` must be at most the number of training images, 2"):
        training_batches(stream, 0, 1)
    assert Means().predict(evaluation_batches(stream), verbose=0).shape == (3, 1)  # evaluation fills the batch up


@pytest.mark.skipif(BACKEND == "tensorflow", reason="strong augmentation needs TensorFlow")
def test_strong_augmentation_is_refused_without_tensorflow(dataset):
    with pytest.raises(ValueError, match="`augment` strong needs the TensorFlow backend. Use light."):
        training_batches(make_stream(dataset, augment="strong"), 0, 1)


WITHOUT_TENSORFLOW = """
import importlib.util
import sys


class Uninstalled:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "tensorflow":
            return importlib.util.spec_from_loader(name, self)

    def create_module(self, spec):
        raise ModuleNotFoundError(f"{spec.name} is not installed")


sys.meta_path.insert(0, Uninstalled())
from mamsf_keras import evaluate, train
from tests.runs import toy_config

if __name__ == "__main__":
    train(toy_config(sys.argv[1], epochs=1), sys.argv[2])
    print(evaluate(sys.argv[2])["images"])
"""


@pytest.mark.skipif(BACKEND == "tensorflow", reason="TensorFlow is the backend")
def test_train_and_evaluate_without_tensorflow(small_nih, tmp_path):
    command = [sys.executable, "-c", WITHOUT_TENSORFLOW, str(small_nih), str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "24"  # the images of the test split

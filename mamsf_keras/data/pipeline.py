"""Feeds a stream to Keras: through `tf.data`, or through a `PyDataset` where TensorFlow is not installed."""

import importlib.util
import math
import os

from mamsf_keras.data.augment import strong
from mamsf_keras.data.stream import Stream, check_fills_a_batch


def training_batches(stream: Stream, steps: int, start: int = 0):
    """Returns the batches of `start` to `steps` for `fit` with `steps_per_epoch`.

    Returns:
        A `tf.data.Dataset`, or without TensorFlow a `PyDataset`.

    Raises:
        ValueError: if there are fewer images than one batch holds, or without TensorFlow on "strong".
    """
    check_fills_a_batch(stream)
    if has_tensorflow():
        return dataset(stream, steps, start)
    if stream.augment == "strong":
        raise ValueError("The strong augmentation is keras-cv's and needs TensorFlow: install it, or use light.")
    from mamsf_keras.data.py_dataset import stream_batches

    return stream_batches(stream, start)


def evaluation_batches(stream: Stream):
    """Returns every image once in row order, not augmented; the last batch is filled up with its last image."""
    if has_tensorflow():
        return images_dataset(stream)
    from mamsf_keras.data.py_dataset import stream_images

    return stream_images(stream)


def has_tensorflow() -> bool:
    """Tells whether TensorFlow is installed."""
    return importlib.util.find_spec("tensorflow") is not None


def dataset(stream: Stream, steps: int, start: int = 0, workers: int | None = None):
    """Returns the batches of `start` to `steps` as a `tf.data.Dataset` that every backend's `fit` takes.

    `workers` batches are read at once; None takes one a processor.
    """
    tf = tensorflow()
    batch, size, findings = stream.share_size, stream.image_size, stream.labels.shape[1]
    shapes = ((batch, size, size, 1), (batch, findings), (batch, findings))

    def read(step):
        tensors = tf.numpy_function(stream.batch, [step], (tf.uint8, tf.float32, tf.float32))
        return tuple(tf.ensure_shape(tensor, shape) for tensor, shape in zip(tensors, shapes, strict=True))

    workers = workers or os.cpu_count()
    batches = tf.data.Dataset.range(start, steps).map(read, num_parallel_calls=workers, deterministic=True)
    if stream.augment == "strong":
        batches = batches.map(lambda images, *rest: (strong(images), *rest))
    return _read_ahead(batches)


def images_dataset(stream: Stream):
    """Returns what `evaluation_batches` says as a `tf.data.Dataset`."""
    tf = tensorflow()
    shape = (stream.share_size, stream.image_size, stream.image_size, 1)

    def load(step):
        return tf.ensure_shape(tf.numpy_function(stream.images_in_order, [step], tf.uint8), shape)

    steps = tf.data.Dataset.range(math.ceil(len(stream.paths) / stream.batch_size))
    return _read_ahead(steps.map(load, num_parallel_calls=os.cpu_count(), deterministic=True))


def _read_ahead(batches):
    """Reads ahead, without the thread that tunes a pipeline: it may sleep on for up to a minute when all is read."""
    tf = tensorflow()
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.prefetch(tf.data.AUTOTUNE).with_options(options)


def tensorflow():
    """Imports TensorFlow for `tf.data`; on another backend it hides the GPUs from it, or it takes their memory."""
    import keras
    import tensorflow as tf

    if keras.backend.backend() != "tensorflow":
        tf.config.set_visible_devices([], "GPU")
    return tf

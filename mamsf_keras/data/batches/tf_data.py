"""The stream as `tf.data` datasets, for the TensorFlow backend."""

import math
import os

import tensorflow as tf

from mamsf_keras.data.batches.stream import Stream
from mamsf_keras.images.augment import strong


def training_dataset(stream: Stream, start: int, stop: int, workers: int | None = None) -> tf.data.Dataset:
    """Returns the batches from step `start` to `stop`: (images, labels, weights).

    `workers` batches are read in parallel, by default one per CPU core.
    """
    batch, size, findings = stream.share_size, stream.image_size, stream.labels.shape[1]
    shapes = ((batch, size, size, 1), (batch, findings), (batch, findings))

    def read(step):
        tensors = tf.numpy_function(stream.batch, [step], (tf.uint8, tf.float32, tf.float32))
        return tuple(tf.ensure_shape(tensor, shape) for tensor, shape in zip(tensors, shapes, strict=True))

    workers = workers or os.cpu_count()
    batches = tf.data.Dataset.range(start, stop).map(read, num_parallel_calls=workers, deterministic=True)
    if stream.augment == "strong":
        batches = batches.map(lambda images, *rest: (strong(images), *rest))
    return _read_ahead(batches)


def evaluation_dataset(stream: Stream) -> tf.data.Dataset:
    """Returns every image once in row order; see `Stream.images_in_order`."""
    shape = (stream.share_size, stream.image_size, stream.image_size, 1)

    def read(batch_index):
        return tf.ensure_shape(tf.numpy_function(stream.images_in_order, [batch_index], tf.uint8), shape)

    batches = tf.data.Dataset.range(math.ceil(len(stream) / stream.batch_size))
    return _read_ahead(batches.map(read, num_parallel_calls=os.cpu_count(), deterministic=True))


def _read_ahead(batches):
    # Disables the autotuning thread, which may sleep for up to a minute after everything has been read.
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.prefetch(tf.data.AUTOTUNE).with_options(options)

"""The stream as `keras.utils.PyDataset`s, for JAX and PyTorch where TensorFlow is not installed."""

import math
import os

import keras

from mamsf_keras.data.stream import Stream

WORKERS = min(4, os.cpu_count() or 1)


class StreamPyDataset(keras.utils.PyDataset):
    """The batches of a stream from a step on, without end, for `fit` with `steps_per_epoch`.

    An index is a step: Keras starts reading the next epoch before it says that the last one is over, so an order that
    a hook shuffles would come too late.

    Args:
        stream: the images and labels.
        start: the first step.
        workers: threads that read.
    """

    def __init__(self, stream: Stream, start: int = 0, workers: int = WORKERS):
        super().__init__(workers=workers, max_queue_size=2 * workers)
        self.stream = stream
        self.start = start

    num_batches = None

    def __getitem__(self, index):
        """Returns images, labels and weights; see `Stream.batch`."""
        return self.stream.batch(self.start + index)


class ImagesPyDataset(keras.utils.PyDataset):
    """Every image of a stream once in row order; see `Stream.images_in_order`.

    Args:
        stream: the images.
        workers: threads that read.
    """

    def __init__(self, stream: Stream, workers: int = WORKERS):
        super().__init__(workers=workers, max_queue_size=2 * workers)
        self.stream = stream

    @property
    def num_batches(self):
        """Number of batches."""
        return math.ceil(len(self.stream.paths) / self.stream.batch_size)

    def __getitem__(self, index):
        """Returns a batch of images."""
        return (self.stream.images_in_order(index),)

"""The stream as `keras.utils.PyDataset`s, for JAX and PyTorch."""

import math
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import keras

from mamsf_keras.data.batches.stream import Stream


class ReadAhead(keras.utils.PyDataset):
    """A `PyDataset` that reads batches ahead in its own threads.

    Keras' workers drop the batch that an unbuilt model is built from, which shifts all batches after it (Keras 3.15,
    JAX and PyTorch). Keras therefore gets one worker, which requests the batches in order, and a batch depends only on
    its index.

    Args:
        read: function from an index to a batch.
        num_batches: number of batches; None for an endless data set.
        workers: number of threads that read, one per CPU core by default.
    """

    def __init__(self, read: Callable[[int], tuple], num_batches: int | None, workers: int | None = None) -> None:
        super().__init__(workers=1)
        self.read = read
        self.ahead = 2 * (workers or os.cpu_count() or 1)
        self.pool = ThreadPoolExecutor(self.ahead // 2)
        self.pending: dict[int, Future] = {}
        self._num_batches = num_batches

    @property
    def num_batches(self) -> int | None:
        """Number of batches, or None."""
        return self._num_batches

    def __getitem__(self, index: int) -> tuple:
        """Returns a batch and starts reading the next ones."""
        end = math.inf if self._num_batches is None else self._num_batches
        wanted = [i for i in range(index, index + self.ahead) if i < end]
        self.pending = {i: self.pending.get(i) or self.pool.submit(self.read, i) for i in wanted}
        return self.pending[index].result()


def training_dataset(stream: Stream, start: int = 0, workers: int | None = None) -> ReadAhead:
    """Returns an endless data set of a stream's batches from step `start`, for `fit` with `steps_per_epoch`."""
    return ReadAhead(lambda index: stream.batch(start + index), None, workers)


def evaluation_dataset(stream: Stream, workers: int | None = None) -> ReadAhead:
    """Returns every image of a stream once in row order; see `Stream.images_in_order`."""
    count = math.ceil(len(stream) / stream.batch_size)
    return ReadAhead(lambda index: (stream.images_in_order(index),), count, workers)

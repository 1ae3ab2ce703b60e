"""ProgressBar: Keras' bar with images per second."""

import threading
import time

import keras

from mamsf_keras.training.history import SCORE

SHOWN = ("loss", SCORE, "skipped_steps")
"""Logs that the bar shows at the end of an epoch. The others are for files."""


class ProgressBar(keras.callbacks.ProgbarLogger):
    """Keras' progress bar with images per second, without the first step, which builds the graph.

    On JAX and PyTorch Keras calls it from other threads, and in any order: a step behind the bar is not shown.

    Args:
        batch_size: images per step.
    """

    async_safe = True

    def __init__(self, batch_size: int):
        super().__init__()
        self.batch_size = batch_size
        self.lock = threading.Lock()

    def on_epoch_begin(self, epoch, logs=None):
        super().on_epoch_begin(epoch, logs)
        self.first = None
        self.rate = {}

    def on_train_batch_end(self, batch, logs=None):
        now = time.perf_counter()
        with self.lock:
            if self.first is None:
                self.first = batch, now
            if batch < self.seen:
                return
            steps = batch - self.first[0]
            if steps > 0:
                self.rate = {"images/s": steps * self.batch_size / (now - self.first[1])}
            super().on_train_batch_end(batch, {**logs, **self.rate})

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, {**{name: logs[name] for name in SHOWN if name in logs}, **self.rate})

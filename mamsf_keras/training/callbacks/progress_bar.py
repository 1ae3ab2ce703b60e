"""ProgressBar: a progress bar for the current epoch, and a log line for each finished epoch."""

import logging
import os
import threading
import time

import keras
from tqdm import tqdm

from mamsf_keras.training.history import SCORE, SCORED_FINDINGS

SHOWN = ("loss", SCORE, SCORED_FINDINGS, "skipped_steps")
"""Logs shown in the line of an epoch. The others are only written to files."""

logger = logging.getLogger(__name__)


class ProgressBar(keras.callbacks.Callback):
    """Shows images per second and the remaining time, and logs one line per epoch.

    Both leave out the first step of an epoch, which builds the graph or fills the pipeline. On JAX and PyTorch, Keras
    calls the batch hook from other threads and in any order. Steps before the one shown are ignored.

    Args:
        batch_size: images per step.
    """

    async_safe = True

    def __init__(self, batch_size: int) -> None:
        super().__init__()
        self.batch_size = batch_size
        self.lock = threading.Lock()
        self.bar: tqdm | None = None

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Discards the bar of the previous epoch. The first step creates a new one."""
        self.close()
        self.epoch = epoch
        self.rate = ""

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Moves the bar."""
        with self.lock:
            if self.bar is None:
                self.first, self.shown, self.started = batch, batch, time.perf_counter()
                self.bar = self.make_bar(initial=(batch + 1) * self.batch_size)
            if batch > self.shown:
                assert logs is not None
                images = (batch - self.first) * self.batch_size
                rate = images / (time.perf_counter() - self.started)
                self.rate = f", {rate:,.{0 if rate >= 100 else 1}f} images/s"
                self.bar.set_postfix_str(f"loss {logs['loss']:.4f}", refresh=False)
                self.bar.update((batch - self.shown) * self.batch_size)
                self.shown = batch

    def make_bar(self, initial: int) -> tqdm:
        """Creates the bar, which is shown only on a terminal."""
        return tqdm(
            total=self.params["steps"] * self.batch_size,
            initial=initial,
            desc=f"epoch {self.epoch + 1}/{self.params['epochs']}",
            unit=" images",
            leave=False,
            disable=bool(os.environ.get("TQDM_DISABLE")) or None,  # None: shown only on a terminal
        )

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Logs the line of the epoch."""
        assert logs is not None
        self.close()
        scores = ", ".join(f"{name} {logs[name]:.4g}" for name in SHOWN if name in logs)
        logger.info("epoch %d/%d: %s%s", epoch + 1, self.params["epochs"], scores, self.rate)

    def close(self) -> None:
        """Removes the bar."""
        if self.bar is not None:
            self.bar.close()
        self.bar = None

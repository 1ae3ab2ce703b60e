"""StopOnNonFinite: stops training when the loss is NaN or infinite, and names the images."""

import math
import threading
from pathlib import Path
from typing import NoReturn

import keras
import numpy as np
import pandas as pd
from keras import ops

from mamsf_keras.data.batches.stream import Stream
from mamsf_keras.storage import write_csv


class StopOnNonFinite(keras.callbacks.Callback):
    """Ends training with an error after the loss has become NaN or infinite, and names the images of that step.

    The callback never waits for a step. On JAX and PyTorch Keras calls the batch hook from other threads, later and in
    any order, so the hook only remembers the first bad step and asks `fit` to stop. The images of that step are found
    afterwards, since a batch is a pure function of its step.

    Args:
        stream: the training images and labels.
        steps_per_epoch: steps per epoch.
        steps_per_execution: steps per compiled call. All images of the call are named.
        file: CSV file for the names of the images; None in a process that does not write.
        stops_at_once: whether `fit` is asked to stop before the epoch ends. Must be False with several processes: they
            would leave the loop at different steps and wait for each other forever.
    """

    async_safe = True

    def __init__(
        self,
        stream: Stream,
        steps_per_epoch: int,
        steps_per_execution: int = 1,
        file: Path | None = None,
        stops_at_once: bool = True,
    ) -> None:
        super().__init__()
        self.stream = stream
        self.steps_per_epoch = steps_per_epoch
        self.steps_per_execution = steps_per_execution
        self.file = file
        self.stops_at_once = stops_at_once
        self.lock = threading.Lock()

    def set_model(self, model: keras.Model) -> None:
        """Keeps the model for the batch hook: on JAX, reading `self.model` in another thread breaks the next step.

        Reading it writes the state of the last step back to the model, but the next step has already donated the
        buffers of that state (Keras 3.15).
        """
        super().set_model(model)
        self.trained = model

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Resets the state of the previous epoch."""
        self.epoch = epoch
        self.bad: tuple[int, float] | None = None

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Asks `fit` to stop if the loss, the mean over the epoch so far, is not finite."""
        assert logs is not None
        if math.isfinite(logs["loss"]):
            return
        with self.lock:
            if self.bad is None or batch < self.bad[0]:
                self.bad = batch, logs["loss"]
        if self.stops_at_once:
            self.trained.stop_training = True

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Raises `ValueError` if a step was bad."""
        if self.bad:
            batch, loss = self.bad
            self.fail(f"The loss became {loss}", batch)

    def fail(self, what: str, batch: int) -> NoReturn:
        """Raises `ValueError` about a step of this epoch, and writes the names of its images.

        Args:
            what: start of the message, such as "The loss became nan".
            batch: number of the step in the epoch, from 0.
        """
        first = self.epoch * self.steps_per_epoch + batch + 1 - self.steps_per_execution
        rows = np.concatenate([self.stream.rows(first + i) for i in range(self.steps_per_execution)])
        if self.file:
            write_csv(self.file, pd.DataFrame({"image": self.stream.images[rows]}))
        where = f" The images of that step: {self.file}." if self.file else ""
        raise ValueError(f"{what} at epoch {self.epoch + 1}, step {batch + 1}; {self.advice()}.{where}")

    def advice(self) -> str:
        """Returns what to change.

        Loss scaling skips steps whose gradients overflow, so a lower learning rate would not help.
        """
        if isinstance(self.model.optimizer, keras.optimizers.LossScaleOptimizer):
            return "a value overflowed float16 in the forward pass; use `precision` mixed_bfloat16 or float32"
        rate = float(ops.convert_to_numpy(self.model.optimizer.learning_rate))
        return f"the learning rate is now {rate:.3g}; use a lower `learning_rate`"

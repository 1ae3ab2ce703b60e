"""RecordHistory: keeps the logs of each epoch."""

import keras

from mamsf_keras.training.history import History


class RecordHistory(keras.callbacks.Callback):
    """Appends the logs of each epoch to a `History`, which the callbacks after this one read.

    Args:
        history: the finished epochs; grows.
    """

    def __init__(self, history: History):
        super().__init__()
        self.history = history

    def on_epoch_end(self, epoch, logs=None):
        """Appends the logs."""
        self.history.append(epoch, logs)

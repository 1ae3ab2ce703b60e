"""RecordHistory: keeps the logs of each epoch."""

import keras

from mamsf_keras.training.history import History


class RecordHistory(keras.callbacks.Callback):
    """Appends the logs of each epoch to a `History`, which the callbacks after this one read.

    Args:
        history: the finished epochs; it is appended to.
    """

    def __init__(self, history: History) -> None:
        super().__init__()
        self.history = history

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Appends the logs."""
        assert logs is not None
        self.history.append(epoch, logs)

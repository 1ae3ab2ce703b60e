"""SaveBestModel: the inference model of the best epoch."""

from pathlib import Path

import keras

from mamsf_keras.training.history import History
from mamsf_keras.training.inference_copy import InferenceCopy


class SaveBestModel(keras.callbacks.Callback):
    """Writes the model when an epoch has the best score so far.

    Args:
        history: the finished epochs.
        inference_copy: writes the model for inference.
        path: the file.
    """

    def __init__(self, history: History, inference_copy: InferenceCopy, path: Path) -> None:
        super().__init__()
        self.history = history
        self.inference_copy = inference_copy
        self.path = path

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Writes the model if the epoch is the best."""
        if self.history.best["epoch"] == epoch + 1:
            self.inference_copy.write(self.model, self.path)

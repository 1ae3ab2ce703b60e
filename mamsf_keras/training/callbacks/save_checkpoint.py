"""SaveCheckpoint: the state to resume from, after each epoch."""

import keras

from mamsf_keras.run_dir import RunDir
from mamsf_keras.training.checkpoint import Checkpoint
from mamsf_keras.training.history import History


class SaveCheckpoint(keras.callbacks.Callback):
    """Writes a checkpoint after each epoch.

    Args:
        history: the finished epochs.
        run: the run folder.
    """

    def __init__(self, history: History, run: RunDir) -> None:
        super().__init__()
        self.history = history
        self.run = run

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Writes the checkpoint."""
        Checkpoint.of(self.model, self.history).write(self.run)

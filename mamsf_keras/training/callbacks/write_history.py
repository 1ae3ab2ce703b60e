"""WriteHistory: the table and the plot of the epochs."""

import keras

from mamsf_keras.reports.history import write_history_plot, write_history_table
from mamsf_keras.run_dir import RunDir
from mamsf_keras.training.history import SCORE, History


class WriteHistory(keras.callbacks.Callback):
    """Writes `history.csv` and `history.png` after each epoch.

    Args:
        history: the finished epochs.
        run: the run folder.
    """

    def __init__(self, history: History, run: RunDir) -> None:
        super().__init__()
        self.history = history
        self.run = run

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Writes both files."""
        write_history_table(self.history.epochs, self.run.history)
        write_history_plot(self.history.epochs, SCORE, self.run.history_plot)

"""StopWithoutProgress: early stopping that also works across resumed runs."""

import keras

from mamsf_keras.config import TrainConfig
from mamsf_keras.training.history import History
from mamsf_keras.training.phases import phase_of


class StopWithoutProgress(keras.callbacks.Callback):
    """Stops training after `config.patience` epochs of a phase without a better score.

    Keras' `EarlyStopping` loses its count when a run is resumed. This callback depends only on the history.

    Args:
        config: configuration of the run.
        history: the finished epochs.
    """

    def __init__(self, config: TrainConfig, history: History) -> None:
        super().__init__()
        self.config = config
        self.history = history

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Asks `fit` to stop if patience has run out."""
        if patience_ran_out(self.config, self.history):
            self.model.stop_training = True


def patience_ran_out(config: TrainConfig, history: History) -> bool:
    """Returns True if the last `config.patience` epochs, all of one unfrozen phase, did not improve the score."""
    done = len(history)
    if not (config.patience and done):
        return False
    phase = phase_of(config, done - 1)
    return not phase.frozen and done - max(history.best["epoch"], phase.first) >= config.patience

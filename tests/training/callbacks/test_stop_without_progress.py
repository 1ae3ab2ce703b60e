import keras
import numpy as np
import pytest

from mamsf_keras.training.callbacks.stop_without_progress import StopWithoutProgress, patience_ran_out
from mamsf_keras.training.history import History
from tests.runs import toy_config


def history_of(scores):
    return History([{"epoch": epoch, "val_auroc": score} for epoch, score in enumerate(scores, 1)])


def first_stop(config, scores):
    """The number of epochs after which patience runs out first, or None."""
    stops = [done for done in range(len(scores) + 1) if patience_ran_out(config, history_of(scores[:done]))]
    return stops[0] if stops else None


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("options", "scores", "expected"),
    [
        ({"patience": 3}, [0.1, 0.6, 0.8, 0.7, 0.7, 0.7, 0.9, 0.9, 0.9], 6),
        ({"patience": 4}, [0.1, 0.6, 0.8, 0.7, 0.7, 0.7, 0.9, 0.9, 0.9], None),
        ({"patience": 0}, [0.9] * 9, None),
        ({"patience": 1}, [0.5, 0.5], 2),  # an equal score is not better
        # A frozen phase without progress does not stop training, and its epochs do not count in the next phase.
        ({"patience": 2, "freeze_epochs": 3}, [0.5, 0.4, 0.4, 0.4, 0.3, 0.3, 0.3], 5),
        ({"patience": 2, "freeze_epochs": 3}, [0.5, 0.4, 0.4, 0.4, 0.6, 0.3, 0.3], 7),
        ({"patience": 2, "freeze_epochs": 8}, [0.5, 0.4, 0.4, 0.4, 0.3, 0.3, 0.3], None),
        # The patience starts again in each trained phase.
        ({"patience": 2, "phases": [{"epochs": 4}, {"epochs": 5}]}, [0.5, 0.6, 0.6, 0.6, 0.3, 0.3, 0.3], 4),
        ({"patience": 2, "phases": [{"epochs": 2}, {"epochs": 7}]}, [0.5, 0.6, 0.3, 0.3, 0.3], 4),
    ],
)
def test_patience(options, scores, expected):
    if "phases" not in options:
        options = {"epochs": 9, **options}
    config = toy_config("data", **options)
    assert first_stop(config, scores) == expected


class Scores(keras.callbacks.Callback):
    """Appends given scores to a history."""

    def __init__(self, scores, history):
        super().__init__()
        self.scores = scores
        self.history = history

    def on_epoch_end(self, epoch, logs=None):
        self.history.append(epoch, {"val_auroc": self.scores[epoch]})


def test_fit_ends_when_patience_has_run_out():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    config, history = toy_config("data", epochs=6, patience=2), History()
    callbacks = [Scores([0.5, 0.7, 0.6, 0.7, 0.9, 0.9], history), StopWithoutProgress(config, history)]
    model.fit(np.ones((4, 3)), np.ones((4, 1)), epochs=6, verbose=0, callbacks=callbacks)
    assert len(history) == 4

import json

import numpy as np
import pytest

from mamsf_keras.training.history import SCORE, History

pytestmark = pytest.mark.no_keras


def test_best_is_the_first_epoch_with_the_highest_score():
    scores = [0.5, 0.75, 0.25, 0.75, 0.5]
    history = History([{"epoch": epoch, "loss": -epoch, SCORE: score} for epoch, score in enumerate(scores)])
    assert history.best == {"epoch": int(np.argmax(scores)), "loss": -1, SCORE: 0.75}


def test_logs_become_json_numbers():
    history = History()
    history.append(0, {"loss": np.float32(0.5), SCORE: np.float64(0.25), "skipped_steps": 3})
    assert len(history) == 1
    assert json.loads(json.dumps(history.epochs)) == [{"epoch": 1, "loss": 0.5, SCORE: 0.25, "skipped_steps": 3.0}]


def test_epochs_that_it_starts_with_stay_as_they_are():
    epochs = [{"epoch": 1, SCORE: 0.5}]
    history = History(epochs)
    history.append(1, {SCORE: 0.75})
    assert len(epochs) == 1 and len(history) == 2 and history.best["epoch"] == 2

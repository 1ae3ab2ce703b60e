import keras
import numpy as np

from mamsf_keras.training.callbacks.record_history import RecordHistory
from mamsf_keras.training.history import History


def test_history_equals_that_of_keras():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    history = History([{"epoch": 1, "loss": 9.0}])
    x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    options = {"initial_epoch": 1, "epochs": 4, "verbose": 0, "callbacks": [RecordHistory(history)]}
    reference = model.fit(x, x[:, :1], **options)
    assert [logs["epoch"] for logs in history.epochs] == [1, 2, 3, 4]
    assert [logs["loss"] for logs in history.epochs[1:]] == reference.history["loss"]

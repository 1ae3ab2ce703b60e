import pandas as pd
import pytest

from mamsf_keras import RunDir
from mamsf_keras.training.callbacks.write_history import WriteHistory
from mamsf_keras.training.history import History

pytestmark = pytest.mark.tensorflow  # no model: once

EPOCHS = [{"epoch": 1, "loss": 0.7, "val_auroc": 0.5}, {"epoch": 2, "loss": 0.1 + 0.2, "val_auroc": 0.625}]


def test_files_hold_every_finished_epoch(tmp_path):
    run, history = RunDir(tmp_path), History()
    callback = WriteHistory(history, run)
    sizes = []
    for logs in EPOCHS:
        epoch = logs["epoch"] - 1  # Keras counts from 0
        history.append(epoch, {name: value for name, value in logs.items() if name != "epoch"})
        callback.on_epoch_end(epoch)
        assert pd.read_csv(run.history).to_dict("records") == EPOCHS[: len(history)]
        assert run.history_plot.read_bytes().startswith(b"\x89PNG\r\n")
        sizes.append(run.history_plot.stat().st_size)
    assert sizes[0] != sizes[1]


def test_files_that_are_ahead_of_the_history_are_replaced(tmp_path):
    run = RunDir(tmp_path)
    WriteHistory(History(EPOCHS), run).on_epoch_end(1)
    plot = run.history_plot.read_bytes()
    WriteHistory(History(EPOCHS[:1]), run).on_epoch_end(0)
    assert pd.read_csv(run.history).to_dict("records") == EPOCHS[:1]
    assert run.history_plot.read_bytes() != plot

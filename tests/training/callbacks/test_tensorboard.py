import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mamsf_keras.training.callbacks.tensorboard import TensorBoard, scalar_name
from mamsf_keras.training.history import History
from tests.toys import contents

pytestmark = pytest.mark.tensorflow  # no model: once


def read_scalars(folder):
    """Reads the event files with TensorBoard's own reader: {name: {step: value}}."""
    events = EventAccumulator(str(folder))
    events.Reload()
    return {name: {event.step: event.value for event in events.Scalars(name)} for name in events.Tags()["scalars"]}


def test_scores_of_single_findings_have_a_group():
    assert scalar_name("loss") == "loss" and scalar_name("val_auroc") == "val_auroc"
    assert scalar_name("val_auroc Pleural_Thickening") == "val_auroc_of/Pleural_Thickening"


def end_epoch(callback, logs):
    epoch = len(callback.history)
    callback.history.append(epoch, logs)
    callback.on_epoch_end(epoch)


def test_logs_are_read_back_by_tensorboard(tmp_path):
    epochs = [{"loss": np.float32(0.7), "val_auroc Mass": 0.25}, {"loss": 0.1, "val_auroc Mass": 0.5}, {"loss": 0.3}]
    callback = TensorBoard(History(), tmp_path / "events")
    for number, logs in enumerate(epochs, 1):
        end_epoch(callback, logs)
        assert len(read_scalars(tmp_path / "events")["loss"]) == number  # written at once
    scalars = read_scalars(tmp_path / "events")
    assert scalars == {"loss": pytest.approx({1: 0.7, 2: 0.1, 3: 0.3}), "val_auroc_of/Mass": {1: 0.25, 2: 0.5}}


def test_findings_that_differ_only_in_punctuation_stay_distinct(tmp_path):
    callback = TensorBoard(History(), tmp_path)
    end_epoch(callback, {"val_auroc Opacity (left)": 0.25, "val_auroc Opacity [left]": 0.5})
    expected = {"val_auroc_of/Opacity (left)": {1: 0.25}, "val_auroc_of/Opacity [left]": {1: 0.5}}
    assert read_scalars(tmp_path) == expected


def test_folder_follows_the_history(tmp_path):
    """Missing epochs are written, as after a kill, epochs ahead of the history removed, and the others kept."""
    (tmp_path / "mine.txt").write_text("mine")
    history = [{"epoch": number, "loss": 1 / number} for number in (1, 2, 3)]
    TensorBoard(History(history), tmp_path).on_epoch_end(2)
    assert read_scalars(tmp_path) == {"loss": pytest.approx({1: 1, 2: 1 / 2, 3: 1 / 3})}
    before = contents(tmp_path)
    TensorBoard(History(history), tmp_path).on_epoch_end(2)
    assert contents(tmp_path) == before
    TensorBoard(History(history[:1]), tmp_path).on_epoch_end(0)
    assert read_scalars(tmp_path) == {"loss": {1: 1}} and (tmp_path / "mine.txt").exists()


def test_no_file_before_the_first_epoch_ends(tmp_path):
    TensorBoard(History(), tmp_path / "events").on_train_begin()
    assert not (tmp_path / "events").exists()

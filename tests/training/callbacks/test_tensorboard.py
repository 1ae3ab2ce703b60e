import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from mamsf_keras.training.callbacks.tensorboard import TensorBoard, scalar_name

pytestmark = pytest.mark.tensorflow  # no model: once


def read_scalars(folder):
    """Reads the event files with TensorBoard's own reader: {name: {step: value}}."""
    events = EventAccumulator(str(folder))
    events.Reload()
    return {name: {event.step: event.value for event in events.Scalars(name)} for name in events.Tags()["scalars"]}


def test_scores_of_single_findings_have_a_group():
    assert scalar_name("loss") == "loss" and scalar_name("val_auroc") == "val_auroc"
    assert scalar_name("val_auroc Pleural_Thickening") == "val_auroc_of/Pleural_Thickening"


def test_logs_are_read_back_by_tensorboard(tmp_path):
    epochs = [{"loss": np.float32(0.7), "val_auroc Mass": 0.25}, {"loss": 0.1, "val_auroc Mass": 0.5}, {"loss": 0.3}]
    callback = TensorBoard(tmp_path / "events")
    for epoch, logs in enumerate(epochs):
        callback.on_epoch_end(epoch, logs)
        assert len(read_scalars(tmp_path / "events")["loss"]) == epoch + 1  # written at once
    scalars = read_scalars(tmp_path / "events")
    assert scalars == {"loss": pytest.approx({1: 0.7, 2: 0.1, 3: 0.3}), "val_auroc_of/Mass": {1: 0.25, 2: 0.5}}


def test_no_file_before_the_first_epoch_ends(tmp_path):
    TensorBoard(tmp_path / "events").on_train_begin()
    assert not (tmp_path / "events").exists()

"""The callbacks of a run, in order."""

import contextlib
from collections.abc import Iterable, Iterator

import keras

from mamsf_keras.config import TrainConfig
from mamsf_keras.devices import Devices
from mamsf_keras.run_dir import RunDir
from mamsf_keras.training.callbacks.anchor_metrics import AnchorMetrics
from mamsf_keras.training.callbacks.mlflow import MLflow
from mamsf_keras.training.callbacks.progress_bar import ProgressBar
from mamsf_keras.training.callbacks.record_history import RecordHistory
from mamsf_keras.training.callbacks.save_best_model import SaveBestModel
from mamsf_keras.training.callbacks.save_checkpoint import SaveCheckpoint
from mamsf_keras.training.callbacks.stop_on_non_finite import StopOnNonFinite
from mamsf_keras.training.callbacks.stop_without_progress import StopWithoutProgress
from mamsf_keras.training.callbacks.sync_replicas import SyncReplicas
from mamsf_keras.training.callbacks.tensorboard import TensorBoard
from mamsf_keras.training.callbacks.validation_auroc import ValidationAUROC
from mamsf_keras.training.callbacks.write_history import WriteHistory
from mamsf_keras.training.data import TrainingData
from mamsf_keras.training.history import History
from mamsf_keras.training.inference_copy import InferenceCopy

AFTER_CHECKPOINT = (SaveBestModel, WriteHistory, TensorBoard, MLflow)
"""The callbacks whose files follow from the history and the model of a checkpoint."""


def build_callbacks(
    config: TrainConfig,
    run: RunDir,
    data: TrainingData,
    history: History,
    devices: Devices,
    *,
    inference_copy: InferenceCopy,
) -> list:
    """Builds the callbacks of a run, except for the `SelectiveEMACallback`, which belongs to a phase.

    Keras calls them in this order at the end of an epoch:

    1. `SyncReplicas` first, so that everything after it sees what is saved;
    2. `StopOnNonFinite`, so that weights that are not finite are never validated;
    3. `ValidationAUROC` and `AnchorMetrics` add to the logs;
    4. `RecordHistory` appends the complete logs to the history, which all callbacks after it read;
    5. `SaveCheckpoint`: from here on, the epoch counts as finished, and a run that is killed later does not repeat it;
    6. the files and loggers of finished epochs, `AFTER_CHECKPOINT`: if the run is killed before the end of this step,
       `complete_last_epoch` completes it;
    7. `ProgressBar` reports the epoch;
    8. `StopWithoutProgress` last.

    A process that does not write has no steps 5 and 6.

    Args:
        config: configuration of the run.
        run: the run folder.
        data: the data of the run.
        history: the finished epochs; it is appended to.
        devices: the devices of the run.
        inference_copy: writes models for inference.
    """
    file = run.bad_batch if devices.writes else None
    alone = devices.processes == 1
    non_finite = StopOnNonFinite(data.training, data.steps_per_epoch, config.steps_per_execution, file, alone)
    callbacks = [SyncReplicas()] if devices.mirrored else []
    callbacks += [non_finite, ValidationAUROC(data.validation, non_finite.fail), AnchorMetrics()]
    callbacks += [RecordHistory(history)]
    if devices.writes:
        callbacks += [SaveCheckpoint(history, run), SaveBestModel(history, inference_copy, run.model("best"))]
        callbacks += [WriteHistory(history, run), TensorBoard(history, run.tensorboard)]
        callbacks += [MLflow(config, run, history)] if config.mlflow else []
    return [*callbacks, ProgressBar(config.batch_size), StopWithoutProgress(config, history)]


def complete_last_epoch(callbacks: Iterable[keras.callbacks.Callback], model: keras.Model, epochs: int) -> None:
    """Repeats what follows the checkpoint of an epoch, in case the run was killed before all of it was done.

    The callbacks of `AFTER_CHECKPOINT` write what is missing: after a complete epoch, nothing changes.

    Args:
        callbacks: callbacks of the run.
        model: model with the state of the checkpoint.
        epochs: number of finished epochs, at least 1.
    """
    for callback in callbacks:
        if isinstance(callback, AFTER_CHECKPOINT):
            callback.set_model(model)
            callback.on_epoch_end(epochs - 1)


@contextlib.contextmanager
def finished_loggers(callbacks: Iterable[keras.callbacks.Callback]) -> Iterator[None]:
    """Reports to the loggers whether the training in the block finished or failed."""
    status = "FAILED"
    try:
        yield
        status = "FINISHED"
    finally:
        for callback in callbacks:
            if isinstance(callback, MLflow):
                callback.finish(status)

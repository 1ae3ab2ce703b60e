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
    2. `StopOnNonFinite` before a validation of weights that are not finite;
    3. `ValidationAUROC` and `AnchorMetrics` add to the logs, and the loggers read them;
    4. `RecordHistory` appends the complete logs to the history, which all callbacks after it read;
    5. the files: `SaveBestModel` before `SaveCheckpoint`, so a resumed run always finds its best model;
    6. `StopWithoutProgress` last.

    A process that does not write has no file loggers and no step 5.

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
    if devices.writes:
        callbacks += [TensorBoard(run.tensorboard)]
        callbacks += [MLflow(config, run)] if config.mlflow else []
    callbacks += [ProgressBar(config.batch_size), RecordHistory(history)]
    if devices.writes:
        callbacks += [SaveBestModel(history, inference_copy, run.model("best"))]
        callbacks += [SaveCheckpoint(history, run), WriteHistory(history, run)]
    return [*callbacks, StopWithoutProgress(config, history)]


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

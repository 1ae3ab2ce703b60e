"""One training run: from a data folder to a run folder."""

import contextlib
import logging
import time
from collections.abc import Iterable
from pathlib import Path

import keras

from mamsf_keras.config import TrainConfig
from mamsf_keras.data.batches.feed import training_batches
from mamsf_keras.data.batches.stream import named_errors
from mamsf_keras.data.dataset import Dataset
from mamsf_keras.data.open import open_dataset
from mamsf_keras.devices import (
    Devices,
    find_devices,
    keras_defaults,
    make_deterministic,
    on_gpu,
    without_tensorflow,
)
from mamsf_keras.model.backbone import Blocks
from mamsf_keras.model.cost import cost_text
from mamsf_keras.model.mamsf import MAMSFNet
from mamsf_keras.run_dir import RunDir
from mamsf_keras.storage import write_json
from mamsf_keras.training.build import anchor_text, build_backbone, build_ema_callback, build_model
from mamsf_keras.training.callbacks.build import build_callbacks, complete_last_epoch, finished_loggers
from mamsf_keras.training.callbacks.mlflow import connect
from mamsf_keras.training.callbacks.stop_without_progress import patience_ran_out
from mamsf_keras.training.checkpoint import Checkpoint
from mamsf_keras.training.data import TrainingData, load_training_data
from mamsf_keras.training.environment import describe_environment
from mamsf_keras.training.history import SCORE, History
from mamsf_keras.training.inference_copy import InferenceCopy
from mamsf_keras.training.initial_weights import copy_head, is_model_file, read_model
from mamsf_keras.training.phases import compile_for_phase, plan_phases
from mamsf_keras.training.resume import check_end, check_environment, resumed_config
from mamsf_keras.training.trained_findings import TrainedFindings

logger = logging.getLogger(__name__)


@without_tensorflow()
@keras_defaults()
def train(
    config: TrainConfig, run_dir: str | Path, resume: bool = False, callbacks: Iterable[keras.callbacks.Callback] = ()
) -> dict:
    """Trains a `MAMSFNet` and writes everything to `run_dir`, except the cache of the images; see `prepared`.

    The run folder holds `config.json`, `environment.json`, `history.csv`, `history.png`, `best.keras` (highest
    validation AUROC), `last.keras`, the two most recent checkpoints and TensorBoard logs. If the run fails before the
    first epoch ends, the folder is removed, except after a non-finite loss or an interrupt.

    ```python
    train(TrainConfig("ChestX-ray14", epochs=10), "runs/s224")
    ```

    Args:
        config: what to train on which data.
        run_dir: folder to create, or with `resume=True` that of an existing run.
        resume: whether to continue from the last finished epoch. The configuration must be the same except for the
            fields in `resume.MAY_DIFFER`.
        callbacks: further Keras callbacks, called after those of the run.

    Returns:
        `best_epoch`, `validation_auroc` (of that epoch), `validation_auroc_is` (text: the findings and labels it is the
        mean of), `left_out` (text: the findings that the model does not have, because the train split has only one
        class), `epochs`, `seconds`, `images_per_second` (of training with its validation, in this call).

    Raises:
        ValueError: if the data, weights or options do not fit together, the loss becomes NaN or infinite, or a resumed
            run has a different configuration (names what differs).
        FileExistsError: if `run_dir` exists and `resume` is False.
        FileNotFoundError: if `resume` is True and `run_dir` is not a run folder, or data or weights are missing.
        BlockingIOError: if another process trains this run.
        ConnectionError: if MLflow cannot be reached or the ImageNet weights cannot be downloaded.
    """
    config = _checked_config(config, run_dir, resume)
    devices = _set_up_backend(config)
    with _claim_run(config, run_dir, resume, devices) as run, devices.scope:
        checkpoint = _read_checkpoint(run, config)
        dataset = _open_dataset(config)  # before the slow preparation of the cache, so that bad input fails fast
        backbone, source = _build_blocks(config, checkpoint)
        data = load_training_data(dataset, config, devices)
        _record_environment(run, data, config, checkpoint, devices)
        model = build_model(config, backbone, data.findings, data.class_counts)
        if source:
            copy_head(source, model)
        inference_copy = InferenceCopy(config, data.findings)
        history, done = checkpoint.history, len(checkpoint.history)
        ours = build_callbacks(config, run, data, history, devices, inference_copy=inference_copy)
        with named_errors(data.training, data.validation), finished_loggers(ours):
            seconds = _run_phases(model, config, data, checkpoint, [*ours, *callbacks])
            if devices.writes:
                inference_copy.write(model, run.model("last"))
    images = (len(history) - done) * data.steps_per_epoch * config.batch_size
    return _summarize(history, data.trained_findings, seconds, images)


def _checked_config(config: TrainConfig, run_dir, resume: bool) -> TrainConfig:
    """Checks everything that does not depend on data or devices, and returns the configuration to train with."""
    run = RunDir.open(run_dir) if resume else RunDir.free(run_dir)
    if resume:
        config = resumed_config(run, config)
    check_backend(config)
    if Path(config.cache).is_relative_to(run.path.resolve()):
        raise ValueError(f"`cache` must be outside of the run folder. Received: cache={config.cache}.")
    return config


def check_backend(config: TrainConfig) -> None:
    """Raises `ValueError` if the current backend does not support an option."""
    backend = keras.backend.backend()
    if config.augment == "strong" and backend != "tensorflow":
        raise ValueError(f"`augment` strong needs `backend` tensorflow. Keras runs on {backend}.")
    if config.steps_per_execution > 1 and backend == "torch":
        raise ValueError("Keras on PyTorch runs one step at a time. Leave out `steps_per_execution`.")
    one_pixel = config.fusion and config.image_size == 32
    if one_pixel and config.precision == "mixed_bfloat16" and backend == "tensorflow" and not on_gpu():
        raise ValueError(  # uninitialized memory in oneDNN's gradient of the kernel, TensorFlow 2.21
            "On a CPU, TensorFlow's bfloat16 gradient of a 5x5 kernel on a feature map of one pixel is wrong. Use "
            "`image_size` 64 or `precision` float32."
        )


def _set_up_backend(config: TrainConfig) -> Devices:
    """Seeds the backend, makes it deterministic if requested, and finds the devices."""
    if config.deterministic:
        make_deterministic()
    keras.utils.set_random_seed(config.seed)
    devices = find_devices(config.distribute)
    devices.check_batch(config.batch_size)
    return devices


@contextlib.contextmanager
def _claim_run(config: TrainConfig, run_dir, resume: bool, devices: Devices):
    """Yields the run folder, made or opened, and locked by the process that writes; the others wait for it."""
    if not devices.writes:
        devices.wait("run folder")
        yield RunDir(run_dir)
        return
    with contextlib.ExitStack() as stack:
        if config.mlflow:
            connect(config.mlflow)
        if resume:
            run = RunDir.open(run_dir)
            stack.enter_context(run.lock())
        else:
            run = stack.enter_context(RunDir.create(run_dir, config))
        devices.wait("run folder")
        yield run


def _read_checkpoint(run: RunDir, config: TrainConfig) -> Checkpoint:
    """Reads the newest checkpoint and checks that the run may end where `config` says."""
    checkpoint = Checkpoint.read_newest(run)
    check_end(run.config, config, checkpoint.history)
    if done := len(checkpoint.history):
        if done == config.epochs:
            logger.info("all %d epochs are finished; increase `epochs` to train longer", done)
        else:
            logger.info("resuming after epoch %d of %d", done, config.epochs)
        if config.augment == "strong":
            logger.info("note: `augment` strong is not reproducible: results differ from an uninterrupted run")
    return checkpoint


def _open_dataset(config: TrainConfig) -> Dataset:
    """Opens the data set, and checks the image size of a cache and that there are findings to train on."""
    dataset = open_dataset(config)
    dataset.store.check_size(config.image_size)
    TrainedFindings.of(dataset).check(config)
    return dataset


def _build_blocks(config: TrainConfig, checkpoint: Checkpoint) -> tuple[Blocks, MAMSFNet | None]:
    """Builds the backbone with its initial weights. Returns it and the model in the file `weights`, or None."""
    if checkpoint.arrays:
        return build_backbone(config, None), None
    if is_model_file(config.weights):
        blocks = build_backbone(config, None)
        return blocks, read_model(config.weights, blocks)
    return build_backbone(config, config.weights), None


def _record_environment(run: RunDir, data: TrainingData, config: TrainConfig, checkpoint: Checkpoint, devices: Devices):
    """Writes what the run starts with, or compares it with what the run was started with."""
    environment = describe_environment(data.dataset)
    if len(checkpoint.history):
        check_environment(run, environment)
    elif devices.writes:
        write_json(run.environment, environment)
    if devices.writes:
        config.save(run.config_file)  # a resumed run may have other paths


def _run_phases(model, config: TrainConfig, data: TrainingData, checkpoint: Checkpoint, callbacks) -> float:
    """Runs the phases that the checkpoint has not finished. Returns the seconds that it took."""
    history, done = checkpoint.history, len(checkpoint.history)
    ema = build_ema_callback(config, data.steps_per_epoch) if config.anchor else None
    logger.info(cost_text(model))
    if ema:
        logger.info(anchor_text(ema, config, data.steps_per_epoch))
    logger.info("The first step builds the graph; that can take a minute.")
    started = time.perf_counter()
    for phase in plan_phases(config):
        if phase.end < done:
            continue
        if len(history) < phase.first:  # a callback ended the previous phase early
            break
        compile_for_phase(model, phase, config, data.steps_per_epoch, data.class_counts)
        if phase.first < done:
            checkpoint.restore(model)
            complete_last_epoch(callbacks, model, done)
        start = max(phase.first, done)
        if start < phase.end and not patience_ran_out(config, history):
            # No EMA while the backbone is frozen: the online weights do not change.
            tracked = [ema] if ema and not phase.frozen else []
            _fit(model, data, start, phase.end, [*tracked, *callbacks])
    return time.perf_counter() - started


def _fit(model, data: TrainingData, start: int, stop: int, callbacks):
    """Trains from epoch `start` to epoch `stop`, counted from 0."""
    steps = data.steps_per_epoch
    model.fit(
        training_batches(data.training, start * steps, stop * steps),
        initial_epoch=start,
        epochs=stop,
        steps_per_epoch=steps,
        callbacks=callbacks,
        shuffle=False,  # the stream is already shuffled
        verbose=0,  # `ProgressBar` shows what Keras' bar would
    )


def _summarize(history: History, findings: TrainedFindings, seconds: float, images: int) -> dict:
    return {
        "best_epoch": history.best["epoch"],
        "validation_auroc": history.best[SCORE],
        "validation_auroc_is": findings.score_text,
        "left_out": findings.left_out_text,
        "epochs": len(history),
        "seconds": seconds,
        "images_per_second": images / seconds,
    }

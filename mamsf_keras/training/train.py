"""One training run: from a data folder to a run folder."""

import shutil
import time
from pathlib import Path

import keras
import numpy as np

from mamsf_keras.config import TrainConfig, run_config, write_json
from mamsf_keras.data.folder import read_run_data
from mamsf_keras.data.pipeline import training_batches
from mamsf_keras.data.splits import split_table
from mamsf_keras.data.stream import Stream, check_fills_a_batch, named_errors, subset
from mamsf_keras.files import one_process
from mamsf_keras.model.backbone import efficientnetv2
from mamsf_keras.model.cost import cost_text
from mamsf_keras.model.mamsf import MAMSFNet
from mamsf_keras.training.callbacks import RunFiles, StopOnBadLoss, ValidationAUROC
from mamsf_keras.training.checkpoint import assign_state, checkpoints, read_checkpoint
from mamsf_keras.training.environment import environment, make_deterministic
from mamsf_keras.training.history import write_history
from mamsf_keras.training.losses import BALANCED
from mamsf_keras.training.phases import begin, phases
from mamsf_keras.training.resume import check_resumable, check_same_data
from mamsf_keras.training.selective_ema import WARMUPS, SelectiveEMACallback


def train(config: TrainConfig, run_dir, resume: bool = False) -> dict:
    """Trains a MAMSFNet and writes only under `run_dir`, and the cache of the images; see `read_run_data`.

    It writes `config.json`, `environment.json`, `history.csv`, `history.png`, `best.keras` (best validation AUROC),
    `last.keras` and the last two `checkpoints`. A run that fails in its first epoch leaves no folder behind, unless
    by a loss that is not finite.

    A run that was stopped, by whatever, is resumed at its last finished epoch and ends as if nobody had disturbed it.

    Args:
        config: what to train on which data.
        run_dir: a folder that does not exist yet, or with `resume` that of the run to go on with.
        resume: go on with a run of the same configuration, but for `resume.MAY_DIFFER`.

    Returns:
        `best_epoch`, `val_auroc` (of that epoch), `epochs`, `seconds`, `images_per_second` (of training, validation
        included, in this call).

    Raises:
        ValueError: on data, weights or values that do not fit, a loss that is not finite, or a run of another
            configuration (says what differs).
        FileExistsError: if `run_dir` exists and is not to be resumed.
        FileNotFoundError: if there is no run to resume.
        BlockingIOError: if another process trains this run.
    """
    run_dir = Path(run_dir)
    if resume:
        check_resumable(run_config(run_dir), config)
    elif run_dir.exists():
        raise FileExistsError(f"The run folder {run_dir} exists. Choose another --run-dir, or go on with --resume.")
    check_backend(config)
    if config.deterministic:
        make_deterministic()
    studies = read_run_data(config)
    print(*studies.notes, split_table(studies.table, studies.table["part"], studies.findings), sep="\n", flush=True)
    rows = subset(studies.table, "train")
    options = (config.image_size, config.batch_size)
    training = Stream(rows, studies.findings, *options, config.augment, config.seed)
    validation = Stream(subset(studies.table, "validation"), studies.findings, *options)
    check_validation(validation, studies.findings)
    check_fills_a_batch(training)
    run_dir.mkdir(parents=True, exist_ok=resume)
    with one_process(run_dir):
        try:
            surroundings = environment(studies.table)
            if resume:
                check_same_data(run_dir, surroundings["data"])
            else:
                write_json(run_dir / "environment.json", surroundings)
            config.save(run_dir / "config.json")
            return fit(config, training, validation, studies.findings, rows["image"], run_dir)
        except BaseException as error:
            begun = resume or checkpoints(run_dir / "checkpoints") or (run_dir / "bad-batch.csv").exists()
            if not begun:
                shutil.rmtree(run_dir)
            elif isinstance(error, KeyboardInterrupt):
                print(f"\nstopped; to go on: mamsf-keras train --run-dir {run_dir} --resume", flush=True)
            raise


def check_backend(config: TrainConfig):
    """Refuses what the backend cannot do."""
    if config.steps_per_execution > 1 and keras.backend.backend() == "torch":
        raise ValueError("PyTorch runs one step at a time: leave out --steps-per-execution.")


def check_validation(stream: Stream, findings):
    """Refuses a validation part on which no AUROC is defined."""
    if not ((stream.labels == 1).any(axis=0) & (stream.labels == 0).any(axis=0)).any():
        raise ValueError(
            f"None of the {len(findings)} findings has both positive and negative images in the validation part of "
            f"{len(stream.labels)} images: no AUROC to choose the best model by."
        )


def build_model(config: TrainConfig, findings, weights, precision="float32", activation=None) -> MAMSFNet:
    """Builds the model of a run under a precision policy; without an activation it gives logits."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        return MAMSFNet(
            efficientnetv2(config.backbone, config.cut, weights, config.image_size),
            findings,
            anchor=config.anchor,
            fusion=config.fusion,
            classifier_activation=activation,
        )
    finally:
        keras.config.set_dtype_policy(before)


def class_counts(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Counts positive and negative images of each finding, two arrays `(findings,)`; NaN labels count as neither."""
    return (labels == 1).sum(axis=0), (labels == 0).sum(axis=0)


def log_odds(positives, negatives) -> np.ndarray:
    """Returns the log-odds of each finding, float32 `(findings,)`, one image of each kind added.

    A classifier whose bias starts there spends no steps on learning the base rates (the prior of focal loss, arXiv
    1708.02002, section 4.1).
    """
    return np.log((positives + 1) / (negatives + 1)).astype(np.float32)


def anchor_updates(config: TrainConfig, steps_per_epoch: int) -> int:
    """Counts the updates of the anchor in a run: one for each of the optimizer, the frozen epochs left out."""
    return (config.epochs - config.freeze_epochs) * steps_per_epoch // config.accumulate


def anchor_callback(config: TrainConfig, steps_per_epoch: int) -> SelectiveEMACallback:
    """Returns the callback that the decay options ask for; see `TrainConfig`."""
    decay, schedule = config.decay, config.decay_schedule
    if decay == "auto":
        decay = max(0.0, 1 - config.accumulate / (config.decay_window_epochs * steps_per_epoch))
    updates = anchor_updates(config, steps_per_epoch) - config.decay_start
    return SelectiveEMACallback(
        decay,
        warmup=schedule if schedule in WARMUPS else None,
        start=config.decay_start,
        cosine_updates=max(1, updates) if schedule == "cosine" else None,
    )


def fit(config: TrainConfig, training: Stream, validation: Stream, findings, images, run_dir) -> dict:
    """Runs the phases that are not done yet and returns the summary of `train`."""
    counts = class_counts(training.labels)
    history, arrays = read_checkpoint(run_dir / "checkpoints")
    keras.utils.set_random_seed(config.seed)
    weights = None if config.weights == "none" or arrays else config.weights
    model = build_model(config, findings, weights, config.precision)
    print(cost_text(model))
    if config.loss not in BALANCED:
        model.classifier.bias.assign(log_odds(*counts))
    files = RunFiles(
        run_dir, lambda: build_model(config, findings, None, activation="sigmoid"), history, config.patience
    )
    common = [StopOnBadLoss(training, images, run_dir), ValidationAUROC(validation, findings), files]
    ema = anchor_callback(config, training.batches) if config.anchor else None
    if ema:
        print(anchor_text(ema, config, training.batches))
    if history:
        print(f"going on after epoch {len(history)} of {config.epochs}")
        write_history(history, run_dir)
    print("The first step builds the graph; that can take a minute.", flush=True)
    start, done = time.perf_counter(), len(history)
    for phase in phases(config):
        if phase.end < done:
            continue
        begin(model, phase, config, training.batches, counts)
        if phase.first < done:
            assign_state(model, arrays)
        first = max(phase.first, done)
        if first == phase.end or files.exhausted:
            continue
        callbacks = common if phase.frozen or not ema else [ema, *common]  # a frozen block is its own average
        with named_errors(training, validation):
            model.fit(
                training_batches(training, phase.end * training.batches, first * training.batches),
                initial_epoch=first,
                epochs=phase.end,
                steps_per_epoch=training.batches,
                callbacks=callbacks,
                shuffle=False,  # the stream has shuffled
            )
    seconds = time.perf_counter() - start
    files.write_model("last.keras", model)
    return {
        "best_epoch": files.best["epoch"] + 1,
        "val_auroc": files.best["val_auroc"],
        "epochs": len(history),
        "seconds": seconds,
        "images_per_second": training.batches * training.batch_size * (len(history) - done) / seconds,
    }


def anchor_text(ema: SelectiveEMACallback, config: TrainConfig, steps_per_epoch: int) -> str:
    """Says how slowly the anchor moves."""
    window = f" (about {config.decay_window_epochs:g} epochs)" if config.decay == "auto" else ""
    updates = anchor_updates(config, steps_per_epoch)
    return (
        f"anchor: decay {ema.decay:.6g}{window}, {config.decay_schedule} schedule, from update {ema.start} of "
        f"{updates}, {updates / (config.epochs - config.freeze_epochs):g} an epoch"
    )

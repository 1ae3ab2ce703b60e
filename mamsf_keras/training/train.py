"""One training run: from a data folder to a run folder."""

import shutil
import time
from pathlib import Path

import keras
import numpy as np

from mamsf_keras.config import TrainConfig, write_json
from mamsf_keras.data.folder import read_run_data
from mamsf_keras.data.pipeline import training_batches
from mamsf_keras.data.splits import split_table
from mamsf_keras.data.stream import Stream, check_fills_a_batch, named_errors, subset
from mamsf_keras.model.backbone import efficientnetv2
from mamsf_keras.model.cost import cost_text
from mamsf_keras.model.mamsf import MAMSFNet
from mamsf_keras.training.callbacks import SaveModels, StopOnBadLoss, ValidationAUROC
from mamsf_keras.training.environment import environment
from mamsf_keras.training.phases import begin, phases
from mamsf_keras.training.selective_ema import WARMUPS, SelectiveEMACallback


def train(config: TrainConfig, run_dir) -> dict:
    """Trains a MAMSFNet and writes only under `run_dir`, and the cache of the images; see `read_run_data`.

    It writes `config.json`, `environment.json`, `history.csv`, `best.keras` (best validation AUROC) and `last.keras`.
    A run that fails before its first epoch is over leaves no folder behind.

    Args:
        config: what to train on which data.
        run_dir: a folder that does not exist yet.

    Returns:
        `best_epoch`, `val_auroc` (of that epoch), `seconds`, `images_per_second` (of training, validation included).

    Raises:
        ValueError: on data, weights or values that do not fit, or a loss that is not finite.
        FileExistsError: if `run_dir` exists.
    """
    run_dir = Path(run_dir)
    if run_dir.exists():
        raise FileExistsError(f"The run folder {run_dir} exists. Choose another --run-dir.")
    studies = read_run_data(config)
    print(*studies.notes, split_table(studies.table, studies.table["part"], studies.findings), sep="\n", flush=True)
    training = Stream(
        subset(studies.table, "train"),
        studies.findings,
        config.image_size,
        config.batch_size,
        config.augment,
        config.seed,
    )
    validation = Stream(subset(studies.table, "validation"), studies.findings, config.image_size, config.batch_size)
    check_validation(validation, studies.findings)
    check_fills_a_batch(training)
    model = build_model(config, studies.findings)
    print(cost_text(model))
    model.classifier.bias.assign(log_odds(training.labels))
    run_dir.mkdir(parents=True)
    try:
        config.save(run_dir / "config.json")
        write_json(run_dir / "environment.json", environment(studies.table))
        return fit(model, config, training, validation, run_dir)
    except BaseException:
        if not (run_dir / "best.keras").exists():
            shutil.rmtree(run_dir)
        raise


def check_validation(stream: Stream, findings):
    """Refuses a validation part on which no AUROC is defined."""
    if not ((stream.labels == 1).any(axis=0) & (stream.labels == 0).any(axis=0)).any():
        raise ValueError(
            f"None of the {len(findings)} findings has both positive and negative images in the validation part of "
            f"{len(stream.labels)} images: no AUROC to choose the best model by."
        )


def build_model(config: TrainConfig, findings) -> MAMSFNet:
    """Builds the training model, which gives logits."""
    keras.utils.set_random_seed(config.seed)
    weights = None if config.weights == "none" else config.weights
    return MAMSFNet(
        efficientnetv2(config.backbone, config.cut, weights, config.image_size),
        findings,
        anchor=config.anchor,
        fusion=config.fusion,
        classifier_activation=None,
    )


def log_odds(labels: np.ndarray) -> np.ndarray:
    """Returns the log-odds of each finding, float32 `(findings,)`, one image of each kind added.

    A classifier whose bias starts there spends no steps on learning the base rates (the prior of focal loss, arXiv
    1708.02002, section 4.1).
    """
    positives = np.nansum(labels, axis=0) + 1
    negatives = (~np.isnan(labels)).sum(axis=0) + 2 - positives
    return np.log(positives / negatives).astype(np.float32)


def anchor_callback(config: TrainConfig, steps_per_epoch: int) -> SelectiveEMACallback:
    """Returns the callback that the decay options ask for; see `TrainConfig`."""
    decay, schedule = config.decay, config.decay_schedule
    if decay == "auto":
        decay = max(0.0, 1 - 1 / (config.decay_window_epochs * steps_per_epoch))
    updates = (config.epochs - config.freeze_epochs) * steps_per_epoch - config.decay_start
    return SelectiveEMACallback(
        decay,
        warmup=schedule if schedule in WARMUPS else None,
        start=config.decay_start,
        cosine_updates=max(1, updates) if schedule == "cosine" else None,
    )


def fit(model, config: TrainConfig, training: Stream, validation: Stream, run_dir) -> dict:
    """Runs the phases and returns the summary of `train`."""
    files = SaveModels(run_dir)
    common = [StopOnBadLoss(), ValidationAUROC(validation, model.findings), files]
    if config.anchor:
        ema = anchor_callback(config, training.batches)
        window = f" (about {config.decay_window_epochs:g} epochs)" if config.decay == "auto" else ""
        print(
            f"anchor: decay {ema.decay:.6g}{window}, {config.decay_schedule} schedule, from update {ema.start} of "
            f"{training.batches * (config.epochs - config.freeze_epochs)}, {training.batches} an epoch"
        )
    print("The first step builds the graph; that can take a minute.", flush=True)
    start = time.perf_counter()
    for phase in phases(config):
        begin(model, phase, config, training.batches)
        callbacks = [*common, keras.callbacks.CSVLogger(Path(run_dir) / "history.csv", append=phase.first > 0)]
        if config.anchor and not phase.frozen:  # a frozen block is its own average
            callbacks.insert(0, ema)
        with named_errors(training, validation):
            model.fit(
                training_batches(training, phase.end * training.batches, phase.first * training.batches),
                initial_epoch=phase.first,
                epochs=phase.end,
                steps_per_epoch=training.batches,
                callbacks=callbacks,
                shuffle=False,  # the stream has shuffled
            )
    seconds = time.perf_counter() - start
    images = training.batches * training.batch_size * config.epochs
    return {
        "best_epoch": files.best_epoch,
        "val_auroc": files.best,
        "seconds": seconds,
        "images_per_second": images / seconds,
    }

"""One training run: from a data folder to a run folder."""

import shutil
import time
from pathlib import Path

import keras
import numpy as np

from mamsf_keras.config import TrainConfig, write_json
from mamsf_keras.data.chestxray14 import read_split
from mamsf_keras.data.pipeline import Stream, dataset, named_errors, subset
from mamsf_keras.data.splits import split_table
from mamsf_keras.model.backbone import efficientnetv2
from mamsf_keras.model.mamsf import MAMSFNet
from mamsf_keras.training.callbacks import SaveModels, StopOnBadLoss, ValidationAUROC
from mamsf_keras.training.environment import devices, environment
from mamsf_keras.training.losses import CellwiseBCE
from mamsf_keras.training.selective_ema import SelectiveEMACallback, disarm

AUTO_WINDOW_EPOCHS = 3
WARMUP_PART = 0.05


def train(config: TrainConfig, run_dir) -> dict:
    """Trains a MAMSFNet and writes only under `run_dir`.

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
    studies = read_split(config.data_dir, config.protocol, config.allow_missing)
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
    batches = dataset(training, training.batches * config.epochs)
    model = build_model(config, studies.findings, training.batches)
    model.classifier.bias.assign(log_odds(training.labels))
    run_dir.mkdir(parents=True)
    try:
        config.save(run_dir / "config.json")
        write_json(run_dir / "environment.json", environment(studies.table))
        return fit(model, config, batches, training, validation, run_dir)
    except BaseException:
        if not (run_dir / "best.keras").exists():
            shutil.rmtree(run_dir)
        raise


def check_validation(stream: Stream, findings):
    """Refuses a validation part on which no AUROC is defined."""
    positives = stream.labels.sum(axis=0)
    if not ((positives > 0) & (positives < len(stream.labels))).any():
        raise ValueError(
            f"None of the {len(findings)} findings has both positive and negative images in the validation part of "
            f"{len(stream.labels)} images: no AUROC to choose the best model by."
        )


def build_model(config: TrainConfig, findings, steps_per_epoch: int) -> MAMSFNet:
    """Builds and compiles the training model, which gives logits."""
    keras.utils.set_random_seed(config.seed)
    weights = None if config.weights == "none" else config.weights
    model = MAMSFNet(
        efficientnetv2(config.backbone, weights=weights, image_size=config.image_size),
        findings,
        anchor=config.anchor,
        fusion=config.fusion,
        classifier_activation=None,
    )
    model.compile(adamw(config, steps_per_epoch * config.epochs), CellwiseBCE(), jit_compile=resolve_jit(config.jit))
    model.optimizer.build(model.trainable_variables)  # else TensorFlow traces the step twice: 50 s more on two cores
    return model


def log_odds(labels: np.ndarray) -> np.ndarray:
    """Returns the log-odds of each finding, float32 `(findings,)`, one image of each kind added.

    A classifier whose bias starts there spends no steps on learning the base rates (the prior of focal loss, arXiv
    1708.02002, section 4.1).
    """
    positives = np.nansum(labels, axis=0) + 1
    negatives = (~np.isnan(labels)).sum(axis=0) + 2 - positives
    return np.log(positives / negatives).astype(np.float32)


def adamw(config: TrainConfig, steps: int) -> keras.optimizers.AdamW:
    """Returns AdamW with a linear warm-up and a cosine to 0 over `steps`; decay on kernels alone, norm clipped at 1."""
    warmup = max(1, round(WARMUP_PART * steps))
    first = config.learning_rate / (warmup + 1)  # a rate of 0 would waste the first step
    schedule = keras.optimizers.schedules.CosineDecay(
        first, max(1, steps - warmup), warmup_target=config.learning_rate, warmup_steps=warmup
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=config.weight_decay, global_clipnorm=1.0)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def resolve_jit(jit: str) -> bool:
    """Decides on XLA: "auto" is on for JAX, and for TensorFlow on an accelerator (on a CPU it is 2.3 times slower)."""
    if jit != "auto":
        return jit == "on"
    backend = keras.backend.backend()
    on_gpu = any("gpu" in name.lower() for name in devices())
    return backend == "jax" or (backend == "tensorflow" and on_gpu)


def anchor_callback(config: TrainConfig, steps_per_epoch: int) -> SelectiveEMACallback:
    """Returns the callback of `config.decay`; "auto" averages over about 3 epochs, with warm-up."""
    if config.decay == "auto":
        return SelectiveEMACallback(1 - 1 / (AUTO_WINDOW_EPOCHS * steps_per_epoch), warmup="ratio")
    return SelectiveEMACallback(config.decay)


def fit(model, config: TrainConfig, batches, training: Stream, validation: Stream, run_dir) -> dict:
    """Runs the epochs and returns the summary of `train`."""
    files = SaveModels(run_dir)
    callbacks = [
        StopOnBadLoss(),
        ValidationAUROC(validation, model.findings),
        files,
        keras.callbacks.CSVLogger(Path(run_dir) / "history.csv"),
    ]
    if config.anchor:
        callbacks.insert(0, anchor_callback(config, training.batches))
        print(f"anchor: decay {callbacks[0].decay:.6g}, {callbacks[0].warmup or 'no'} warm-up")
    print("The first step builds the graph; that can take a minute.", flush=True)
    start = time.perf_counter()
    try:
        with named_errors(training, validation):
            model.fit(
                batches,
                epochs=config.epochs,
                steps_per_epoch=training.batches,
                callbacks=callbacks,
                shuffle=False,  # the stream has shuffled
            )
    finally:
        disarm(model)  # after an exception Keras does not call on_train_end
    seconds = time.perf_counter() - start
    images = training.batches * training.batch_size * config.epochs
    return {
        "best_epoch": files.best_epoch,
        "val_auroc": files.best,
        "seconds": seconds,
        "images_per_second": images / seconds,
    }

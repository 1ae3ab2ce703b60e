"""One training run: from a data folder to a run folder."""

import contextlib
import shlex
import shutil
import time
from pathlib import Path

import keras

from mamsf_keras.config import TrainConfig, run_config, write_json
from mamsf_keras.data.cache import is_cache
from mamsf_keras.data.folder import read_run_data, read_run_tables
from mamsf_keras.data.pipeline import training_batches
from mamsf_keras.data.splits import split_table
from mamsf_keras.data.stream import Stream, check_fills_a_batch, named_errors, subset
from mamsf_keras.data.tables import Studies
from mamsf_keras.files import one_process
from mamsf_keras.model.cost import cost_text
from mamsf_keras.training.build import (
    anchor_callback,
    anchor_text,
    build_backbone,
    build_model,
    class_counts,
)
from mamsf_keras.training.callbacks import RunFiles, StopOnBadLoss, ValidationAUROC
from mamsf_keras.training.checkpoint import assign_state, checkpoints, read_checkpoint
from mamsf_keras.training.distribute import Devices, devices_for
from mamsf_keras.training.environment import environment, make_deterministic, on_gpu
from mamsf_keras.training.monitor import Gauges, loggers
from mamsf_keras.training.phases import begin, phases
from mamsf_keras.training.resume import check_end, check_resumable, check_same_surroundings


def train(config: TrainConfig, run_dir, resume: bool = False) -> dict:
    """Trains a MAMSFNet and writes only under `run_dir`, and the cache of the images; see `read_run_data`.

    It writes `config.json`, `environment.json`, `history.csv`, `history.png`, `best.keras` (best validation AUROC),
    `last.keras`, the last two `checkpoints` and curves for TensorBoard. A run that fails in its first epoch leaves no
    folder behind, unless by a loss or outputs that are not finite or because it was stopped.

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
        old = run_config(run_dir)
        if is_cache(config.data_dir) and config.labels_csv == old.labels_csv:
            config = config.at_cache(config.data_dir)
        check_resumable(old, config)
    elif run_dir.exists():  # no process can have made it now: they wait for each other to begin
        way_out = ", or go on with --resume" if (run_dir / "config.json").exists() else ""
        raise FileExistsError(f"The run folder {run_dir} exists. Choose another --run-dir{way_out}.")
    check_backend(config)
    if config.cache_dir and Path(config.cache_dir).is_relative_to(run_dir.resolve()):
        raise ValueError(f"The cache must lie outside of the run folder. Received: --cache-dir {config.cache_dir}.")
    if config.deterministic:
        make_deterministic()
    keras.utils.set_random_seed(config.seed)
    devices = devices_for(config.distribute)
    devices.check_batch(config.batch_size)
    if devices.process:  # the first process makes the folder and writes into it
        devices.wait("run folder")
        return _train(config, run_dir, resume, devices)
    new_folders = [folder for folder in (run_dir, *run_dir.parents) if not folder.exists()]
    run_dir.mkdir(parents=True, exist_ok=resume)
    try:
        with one_process(run_dir):
            if not resume:
                config.save(run_dir / "config.json")
            devices.wait("run folder")
            return _train(config, run_dir, resume, devices)
    except KeyboardInterrupt:
        words = ["--run-dir", str(run_dir), "--resume", "--backend", keras.backend.backend()]
        print(f"\nstopped; to go on: mamsf-keras train {shlex.join(words)}", flush=True)
        raise
    except BaseException:
        if not (resume or checkpoints(run_dir / "checkpoints") or (run_dir / "bad-batch.csv").exists()):
            _remove(run_dir, new_folders)
        raise


def _remove(run_dir, new_folders):
    """Removes a run folder and those above it that were made for it."""
    shutil.rmtree(run_dir, ignore_errors=True)
    with contextlib.suppress(OSError):  # something else came to lie in one
        for folder in new_folders[1:]:
            folder.rmdir()


def _train(config: TrainConfig, run_dir, resume, devices: Devices) -> dict:
    writes = devices.process == 0
    history, arrays = read_checkpoint(run_dir / "checkpoints")
    if not history and (run_dir / "history.csv").exists():
        raise ValueError(f"{run_dir} has finished epochs and no checkpoint to go on from: begin a new run.")
    check_end(run_config(run_dir), config, len(history))
    with devices.scope, loggers(config, run_dir, writes) as logging:
        tables = read_run_tables(config)  # all that cannot work is said before the long work
        weights = None if config.weights == "none" or arrays else config.weights
        backbone = build_backbone(config, weights)
        training, validation, studies = _data(config, tables, devices)
        steps = steps_of_epoch(config, training)
        surroundings = environment(studies.table, studies.findings)
        if history:
            check_same_surroundings(run_dir, surroundings)
        elif writes:
            write_json(run_dir / "environment.json", surroundings)
        if writes and resume:
            config.save(run_dir / "config.json")
        counts = class_counts(training.labels)
        model = build_model(config, backbone, studies.findings, counts)
        print(cost_text(model))
        done = len(history)
        if done:
            print(f"going on after epoch {done} of {config.epochs}")
            if config.augment == "strong":
                print("note: the draws of --augment strong cannot be repeated: the end is not that of one run")
        files = RunFiles(run_dir, config, studies.findings, history, writes)
        stop = StopOnBadLoss(training, steps, run_dir, writes)
        scores = ValidationAUROC(validation, studies.findings, stop.stop)
        watchers = [*devices.callbacks, stop, scores, Gauges(), *logging, files]  # what is logged may be logged again
        start = time.perf_counter()
        with named_errors(training, validation):
            run_phases(model, config, training, steps, counts, watchers, files, arrays)
        seconds = time.perf_counter() - start
        files.write_model("last.keras", model)
    images = steps * training.batch_size * (len(history) - done)
    return {
        "best_epoch": files.best["epoch"] + 1,
        "val_auroc": files.best["val_auroc"],
        "epochs": len(history),
        "seconds": seconds,
        "images_per_second": images / seconds,
    }


def _data(config: TrainConfig, tables: Studies, devices: Devices) -> tuple[Stream, Stream, Studies]:
    """Reads the data of a run, says what they are, and checks that they can be trained on."""
    if devices.process:
        devices.wait("data")  # the first process makes the cache
    try:
        studies = read_run_data(config, tables)
    finally:
        if not devices.process:
            devices.wait("data")  # what was wrong the others then see too
    print(*studies.notes, split_table(studies.table, studies.table["part"], studies.findings), sep="\n", flush=True)
    options = (studies.findings, config.image_size, config.batch_size)
    share = (devices.process, devices.processes)
    training = Stream(subset(studies.table, "train"), *options, config.augment, config.seed, share)
    validation = Stream(subset(studies.table, "validation"), *options, share=share)
    check_validation(validation, studies.findings)
    check_fills_a_batch(training)
    return training, validation, studies


def steps_of_epoch(config: TrainConfig, training: Stream) -> int:
    """Counts the steps of an epoch: a pass, or a few steps less where several are executed at once, as whole ones."""
    steps, at_once = config.steps_per_epoch or training.batches, config.steps_per_execution
    if steps < at_once:
        raise ValueError(f"An epoch has {steps} steps: --steps-per-execution {at_once} is too much.")
    return steps - steps % at_once


def check_backend(config: TrainConfig):
    """Refuses what the backend cannot do."""
    backend = keras.backend.backend()
    if config.steps_per_execution > 1 and backend == "torch":
        raise ValueError("PyTorch runs one step at a time: leave out --steps-per-execution.")
    one_pixel = config.fusion and config.image_size == 32
    if one_pixel and config.precision == "mixed_bfloat16" and backend == "tensorflow" and not on_gpu():
        raise ValueError(  # uninitialised memory in oneDNN's gradient of the kernel, TensorFlow 2.21
            "On a CPU, TensorFlow's bfloat16 gradient of a 5x5 kernel on a feature map of one pixel is wrong: use "
            "--image-size 64 or --precision float32."
        )


def check_validation(stream: Stream, findings):
    """Refuses a validation part on which no AUROC is defined."""
    if not ((stream.labels == 1).any(axis=0) & (stream.labels == 0).any(axis=0)).any():
        raise ValueError(
            f"None of the {len(findings)} findings has both positive and negative images in the validation part of "
            f"{len(stream.labels)} images: no AUROC to choose the best model by. More images may have one, or another "
            "--protocol."
        )


def run_phases(model, config: TrainConfig, training: Stream, steps, counts, watchers, files: RunFiles, arrays):
    """Runs the phases after the epochs that `files` knows, whose last state is `arrays`."""
    done = len(files.history)
    ema = anchor_callback(config, steps) if config.anchor else None
    if ema:
        print(anchor_text(ema, config, steps))
    print("The first step builds the graph; that can take a minute.", flush=True)
    for phase in phases(config):
        if phase.end < done:
            continue
        begin(model, phase, config, steps, counts)
        if phase.first < done:
            assign_state(model, arrays)
        first = max(phase.first, done)
        if first == phase.end or files.exhausted:
            continue
        model.fit(
            training_batches(training, phase.end * steps, first * steps),
            initial_epoch=first,
            epochs=phase.end,
            steps_per_epoch=steps,
            callbacks=[*([ema] if ema and not phase.frozen else []), *watchers],  # frozen: its own average
            shuffle=False,  # the stream has shuffled
        )

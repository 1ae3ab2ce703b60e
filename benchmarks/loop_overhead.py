"""Measures the overhead of the training loop over a bare `fit`: callbacks, logs, exact AUROC, checkpoints.

    mamsf-keras phantom --out phantoms-96 --images 2600 --size 96 --tail 5
    python -m benchmarks.loop_overhead --data-dir phantoms-96

The same model trains on the same pipeline in one process, in alternating epochs: as in `mamsf-keras train`, and with a
bare `fit` that gets the same validation images as arrays in `validation_data`. Epoch times may vary by more than the
overhead, so it is also timed directly: the time in the callbacks, with their validation and without the progress bar
(which both have), minus the validation time of the bare fit, as a fraction of the bare epoch.
"""

import statistics
import tempfile
import time

import click
import keras
import numpy as np

from mamsf_keras.config import TrainConfig
from mamsf_keras.data.batches.feed import training_batches
from mamsf_keras.data.open import open_dataset
from mamsf_keras.devices import find_devices
from mamsf_keras.presets import PRESETS
from mamsf_keras.run_dir import RunDir
from mamsf_keras.training.build import build_backbone, build_ema_callback, build_model
from mamsf_keras.training.callbacks.build import build_callbacks
from mamsf_keras.training.callbacks.progress_bar import ProgressBar
from mamsf_keras.training.data import load_training_data
from mamsf_keras.training.history import History
from mamsf_keras.training.inference_copy import InferenceCopy
from mamsf_keras.training.phases import compile_for_phase, plan_phases

OURS, BARE = "ours", "bare fit"


class Clock(keras.callbacks.Callback):
    """A stopwatch that adds up seconds. The first of two calls starts it, the second stops it.

    Args:
        events: names of the callback methods that start or stop it.
    """

    def __init__(self, *events):
        super().__init__()
        for event in events:
            setattr(self, event, self.tick)
        self.seconds, self.start = 0.0, None

    def tick(self, *arguments, **logs):
        """Starts or stops the clock."""
        if self.start is None:
            self.start = time.perf_counter()
        else:
            self.seconds, self.start = self.seconds + time.perf_counter() - self.start, None


@click.command()
@click.option("--data-dir", required=True, type=click.Path(), help="Folder in the NIH layout, or a cache.")
@click.option("--epochs", default=5, show_default=True, help="Number of timed epochs of each, after one warm-up epoch.")
@click.option("--steps", default=200, show_default=True, help="Steps per epoch.")
def main(data_dir, epochs, steps):
    """Print the seconds of each epoch, and the medians without the first epoch of each."""
    config = TrainConfig(data_dir, **{**PRESETS["demo"], "epochs": 2 * (epochs + 1), "steps_per_epoch": steps})
    devices = find_devices("none")
    data = load_training_data(open_dataset(config), config, devices)
    model = build_model(config, build_backbone(config, None), data.findings, data.class_counts)
    compile_for_phase(model, plan_phases(config)[0], config, steps, data.class_counts)
    ema = build_ema_callback(config, steps)
    images = np.stack([data.validation.read(row) for row in range(len(data.validation))])[..., None]
    validate = {"validation_data": (images, data.validation.labels), "validation_batch_size": config.batch_size}

    seconds, inside = {OURS: [], BARE: []}, {OURS: [], BARE: []}
    with tempfile.TemporaryDirectory() as folder:
        copy = InferenceCopy(config, data.findings)
        watch = build_callbacks(config, RunDir(folder), data, History(), devices, inference_copy=copy)
        [bar] = [callback for callback in watch if isinstance(callback, ProgressBar)]
        watch.remove(bar)
        for number in range(config.epochs):
            which = (OURS, BARE, BARE, OURS)[number % 4]  # neither is always the first
            if which == OURS:
                clock = Clock("on_epoch_begin", "on_train_batch_begin", "on_train_batch_end", "on_epoch_end")
                arguments = {"callbacks": [ema, clock, *watch, clock, bar]}
            else:
                clock = Clock("on_test_begin", "on_test_end")
                arguments = {"callbacks": [ema, clock], **validate}
            batches = training_batches(data.training, number * steps, (number + 1) * steps)
            span = {"initial_epoch": number, "epochs": number + 1, "steps_per_epoch": steps}
            start = time.perf_counter()
            model.fit(batches, shuffle=False, **span, **arguments)
            seconds[which].append(time.perf_counter() - start)
            inside[which].append(clock.seconds)
            print(f"{which}: {seconds[which][-1]:.1f} s, of which {clock.seconds:.2f} s are compared", flush=True)
    ours, bare = (statistics.median(seconds[which][1:]) for which in (OURS, BARE))
    rest = [statistics.median(np.subtract(seconds[which], inside[which])[1:]) for which in (OURS, BARE)]
    added = statistics.median(inside[OURS][1:]) - statistics.median(inside[BARE][1:])
    print(f"{steps} steps of {config.batch_size} images, {len(data.validation)} validation images: ", end="")
    print(f"ours {ours:.1f} s, bare fit {bare:.1f} s, ratio of the medians {ours / bare:.4f}; ", end="")
    print(f"our callbacks add {added:.2f} s, {added / bare:.2%}; the rest takes {rest[0]:.1f} s and {rest[1]:.1f} s")


if __name__ == "__main__":
    main()

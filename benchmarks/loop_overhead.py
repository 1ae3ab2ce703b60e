"""What our loop adds to a bare `fit`: callbacks, logs, exact AUROC, checkpoints.

    mamsf-keras phantom --out phantoms --images 2600 --size 96 --tail 5
    python -m benchmarks.loop_overhead --data-dir phantoms

The same model trains on the same pipeline, an epoch of each in turn, in one process: once as `mamsf-keras train` runs
it, once by a bare `fit` with the same validation images, as arrays, for `validation_data`.
"""

import statistics
import tempfile
import time
from pathlib import Path

import click
import numpy as np

from mamsf_keras.config import PRESETS, TrainConfig


@click.command()
@click.option("--data-dir", required=True, type=click.Path(), help="Folder in the NIH layout, or a cache.")
@click.option("--epochs", default=5, show_default=True, help="Counted epochs of each.")
@click.option("--steps", default=200, show_default=True, help="Steps an epoch.")
def main(data_dir, epochs, steps):
    """Prints the seconds of each epoch, and the ratio of the medians without the first of each."""
    from mamsf_keras.data.folder import read_run_data
    from mamsf_keras.data.pipeline import training_batches
    from mamsf_keras.data.stream import Stream, subset
    from mamsf_keras.training.build import anchor_callback, build_backbone, build_model, class_counts
    from mamsf_keras.training.callbacks import RunFiles, StopOnBadLoss, ValidationAUROC
    from mamsf_keras.training.monitor import Gauges, loggers
    from mamsf_keras.training.phases import begin, phases

    config = TrainConfig(data_dir, **{**PRESETS["demo"], "epochs": 2 * (epochs + 1)})
    studies = read_run_data(config)
    options = (studies.findings, config.image_size, config.batch_size)
    training, validation = (Stream(subset(studies.table, part), *options) for part in ("train", "validation"))
    counts = class_counts(training.labels)
    model = build_model(config, build_backbone(config, None), studies.findings, counts)
    begin(model, phases(config)[0], config, steps, counts)
    ema = anchor_callback(config, steps)

    images = np.stack([validation.read(row) for row in range(len(validation.paths))])[..., None]
    held_out = (images, validation.labels)

    times = {"ours": [], "bare fit": []}
    with tempfile.TemporaryDirectory() as folder, loggers(config, Path(folder), True) as logging:
        stop = StopOnBadLoss(training, steps, folder)
        watch = [stop, ValidationAUROC(validation, studies.findings, stop.stop), Gauges(), *logging]
        watch += [RunFiles(folder, config, studies.findings, [])]
        arguments = {
            "ours": {"callbacks": [ema, *watch]},
            "bare fit": {
                "callbacks": [ema],
                "validation_data": held_out,
                "validation_batch_size": config.batch_size,
            },
        }
        for number in range(config.epochs):
            which = ("ours", "bare fit", "bare fit", "ours")[number % 4]  # neither is always the first
            batches = training_batches(training, (number + 1) * steps, number * steps)
            span = {"initial_epoch": number, "epochs": number + 1, "steps_per_epoch": steps}
            start = time.perf_counter()
            model.fit(batches, shuffle=False, **span, **arguments[which])
            times[which].append(time.perf_counter() - start)
            print(f"{which} {times[which][-1]:.1f} s", flush=True)
    one, other = (statistics.median(seconds[1:]) for seconds in times.values())
    print(f"{steps} steps of {config.batch_size} images, {len(validation.paths)} validation images: ", end="")
    print(f"ours {one:.1f} s, bare fit {other:.1f} s, ratio of the medians {one / other:.4f}")


if __name__ == "__main__":
    main()

"""Trains the same network with each loss and prints its scores on the test split, by frequency of the findings.

    mamsf-keras phantom --out phantoms-losses --images 2600 --size 96 --tail 5
    KERAS_BACKEND=jax python -m benchmarks.losses --data-dir phantoms-losses --out runs/losses

There is one run per loss and seed, with the options of the preset demo. Finished runs are not repeated.
"""

from pathlib import Path

import click
import numpy as np

from mamsf_keras.config import LOSSES, TrainConfig
from mamsf_keras.findings import HEAD, MEDIUM, TAIL
from mamsf_keras.presets import PRESETS
from mamsf_keras.run_dir import RunDir

GROUPS = {"mean": (*HEAD, *MEDIUM, *TAIL), "head": HEAD, "medium": MEDIUM, "tail": TAIL}


def scores(metrics: dict) -> list[float]:
    """Returns the mean AUROC of all, head, medium and tail findings, and their mean average precision."""
    return [
        np.mean([metrics["findings"][name][score] for name in names])
        for score in ("auroc", "average_precision")
        for names in GROUPS.values()
    ]


@click.command()
@click.option("--data-dir", required=True, type=click.Path(), help="Folder in the NIH layout.")
@click.option("--out", required=True, type=click.Path(), help="Folder of the runs.")
@click.option("--seeds", default=3, show_default=True, help="Number of runs per loss.")
@click.option("--epochs", default=PRESETS["demo"]["epochs"], show_default=True, help="Number of epochs of each run.")
def main(data_dir, out, seeds, epochs):
    """Train with each loss and print mean and standard deviation of the scores over the seeds."""
    from mamsf_keras.evaluation.evaluate import evaluate
    from mamsf_keras.training.train import train

    columns = [f"{score} {group}" for score in ("AUROC", "AP") for group in GROUPS]
    print("loss", *columns, sep=" | ")
    for loss in LOSSES:
        found = []
        for seed in range(seeds):
            run = RunDir(Path(out) / f"{loss}-{seed}")
            if not run.metrics("test").exists():
                config = TrainConfig(data_dir, **{**PRESETS["demo"], "epochs": epochs, "loss": loss, "seed": seed})
                train(config, run.path, resume=run.config_file.exists())
                evaluate(run.path)
            found.append(scores(run.read_metrics("test")))
        cells = zip(np.mean(found, axis=0), np.std(found, axis=0, ddof=1), strict=True)
        print(loss, *(f"{mean:.3f} ± {spread:.3f}" for mean, spread in cells), sep=" | ", flush=True)


if __name__ == "__main__":
    main()

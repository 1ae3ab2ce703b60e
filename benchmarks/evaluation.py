"""Measures the time and peak memory of `evaluate --predictions` for a file of the size of the official NIH test split.

    python -m benchmarks.evaluation

The file has 25,596 images of 2,797 patients and 14 findings with the prevalences of ChestX-ray14, age, sex and view
position. Labels and scores are simulated.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click
import numpy as np
import pandas as pd
from scipy.special import expit

from mamsf_keras.evaluation.calibration import fit_calibration
from mamsf_keras.evaluation.predictions import Predictions
from mamsf_keras.findings import FINDINGS, IMAGES, POSITIVES

TEST_IMAGES, TEST_PATIENTS = 25_596, 2_797


def simulated(rng: np.random.Generator) -> Predictions:
    """Returns predictions with independent images and an AUROC of about 0.82 for each finding."""
    labels = rng.random((TEST_IMAGES, len(FINDINGS))) < np.array(list(POSITIVES.values())) / IMAGES
    scores = rng.normal(size=labels.shape) + 1.3 * labels - 3
    table = pd.DataFrame(
        {
            "image": [f"{row}.png" for row in range(TEST_IMAGES)],
            "patient": np.sort(rng.integers(0, TEST_PATIENTS, TEST_IMAGES)).astype(str),
            "age": rng.integers(1, 95, TEST_IMAGES),
            "sex": rng.choice(["M", "F"], TEST_IMAGES),
            "view": rng.choice(["PA", "AP"], TEST_IMAGES),
        }
    )
    return Predictions(table, FINDINGS, expit(scores), labels.astype(float))


@click.command()
def main():
    """Print seconds and GiB."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as work:
        validation = simulated(rng)
        calibration = fit_calibration(
            validation.labels, validation.probabilities, FINDINGS, validation.table["patient"].to_numpy()
        )
        calibration.save(Path(work) / "calibration.json")
        simulated(rng).write(Path(work) / "predictions.csv")
        words = ["--predictions", "predictions.csv", "--calibration", "calibration.json", "--out", "results"]
        start = time.perf_counter()
        command = [sys.executable, "-c", "from mamsf_keras.cli import main; main()", "evaluate", *words, "--quiet"]
        subprocess.run(command, cwd=work, check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
        click.echo(f"evaluate --predictions: {seconds:.0f} s, peak memory {memory:.2f} GiB")


if __name__ == "__main__":
    main()

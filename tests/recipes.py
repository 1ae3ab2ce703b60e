"""Runs of two recipes that were never trained: folders with a configuration and simulated predictions."""

import json

import numpy as np
import pandas as pd
from scipy.special import expit

from mamsf_keras import RunDir, TrainConfig
from mamsf_keras.evaluation.predictions import Predictions

FINDINGS = ("Mass", "Effusion", "Hernia")
PREVALENCE = (0.1, 0.3, 0.008)
"""With 60 patients of three images, Hernia has one positive patient, too few for a test."""


def simulated_predictions(recipe, seed, gain=0.0, patients=60):
    """Predictions of a model: labels and most of the noise are shared by all models, some by those of a recipe."""
    shared = np.random.default_rng(0)
    patient = np.repeat(np.arange(patients), 3)
    shape = (len(patient), len(FINDINGS))
    labels = (shared.random(shape) < PREVALENCE).astype(float)
    noise = shared.normal(size=shape)
    own = 0.3 * np.random.default_rng([1, recipe]).normal(size=shape)
    model = 0.3 * np.random.default_rng([2, recipe, seed]).normal(size=shape)
    names = [f"{row:03d}.png" for row in range(len(patient))]
    table = pd.DataFrame({"image": names, "patient": patient.astype(str)})
    return Predictions(table, FINDINGS, expit(noise + own + model + (1 + gain) * labels - 2), labels)


def write_run(path, predictions, split="test", **options):
    """Writes the folder of a run with its predictions and returns it as a `RunDir`."""
    run = RunDir(path)
    run.path.mkdir(parents=True)
    TrainConfig(**{"data_dir": str(path.parent / "data"), **options}).save(run.config_file)
    predictions.write(run.predictions(split))
    return run


def write_recipe(folder, name, seeds=5, gain=0.0, split="test", **options):
    """Writes the runs of a recipe, NAME-0 and so on, and returns their folders."""
    number = sum(map(ord, name))
    return [
        write_run(
            folder / f"{name}-{seed}", simulated_predictions(number, seed, gain), split, **{"seed": seed, **options}
        ).path
        for seed in range(seeds)
    ]


def write_metrics(path, split="test", **changes):
    """Writes the metrics of a run that a comparison reads."""
    record = {
        "protocol": "official",
        "fingerprint": {"images": 180, "sha256": "a" * 64},
        "findings": {"Mass": {"group": "medium"}, "Effusion": {"group": "head"}, "Hernia": {"group": "tail"}},
    }
    RunDir(path).metrics(split).write_text(json.dumps({**record, **changes}))

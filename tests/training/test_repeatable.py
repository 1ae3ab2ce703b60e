"""Run as a module, it trains an EfficientNetV2 and prints hashes of its weights."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import BACKEND

STEPS, BATCH, SIZE = 8, 32, 64


@pytest.mark.slow
def test_two_runs_of_an_efficientnet_are_equal():
    """One seed, two processes at the same time: the weights are equal bit for bit after each step."""
    command = [sys.executable, "-m", "tests.training.test_repeatable"]
    options = {"cwd": Path(__file__).parents[2], "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    running = [subprocess.Popen(command, env={**os.environ, "KERAS_BACKEND": BACKEND}, **options) for _ in range(2)]
    (one, errors), (two, _) = (process.communicate() for process in running)
    assert one == two and len(one.split()) == STEPS, errors


def main():
    """Trains for some steps and prints a hash of all weights after each."""
    import keras

    from mamsf_keras import SelectiveEMACallback, TrainConfig
    from mamsf_keras.training.build import build_backbone, build_model
    from mamsf_keras.training.phases import compile_for_phase, plan_phases

    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (STEPS * BATCH, SIZE, SIZE, 1), dtype=np.uint8)
    labels = (rng.random((STEPS * BATCH, 14)) < 0.1).astype("float32")
    config = TrainConfig("data", backbone="efficientnetv2-b0", image_size=SIZE, epochs=STEPS)
    counts = (labels == 1).sum(axis=0), (labels == 0).sum(axis=0)
    model = build_model(config, build_backbone(config, None), [f"finding {i}" for i in range(14)], counts)
    compile_for_phase(model, plan_phases(config)[0], config, 1, counts)
    for step in range(STEPS):
        rows = slice(step * BATCH, (step + 1) * BATCH)
        data = (images[rows], labels[rows])
        model.fit(*data, batch_size=BATCH, callbacks=[SelectiveEMACallback(0.9)], shuffle=False, verbose=0)
        weights = [np.ascontiguousarray(weight) for weight in model.get_weights()]
        print(hashlib.sha256(b"".join(weight.tobytes() for weight in weights)).hexdigest(), flush=True)


if __name__ == "__main__":
    main()

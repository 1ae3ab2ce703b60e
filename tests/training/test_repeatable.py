"""One seed, two runs at a time on a busy machine: an EfficientNetV2 ends with the same weights bit for bit."""

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
    command = [sys.executable, "-m", "tests.training.test_repeatable"]
    options = {"cwd": Path(__file__).parents[2], "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    running = [subprocess.Popen(command, env={**os.environ, "KERAS_BACKEND": BACKEND}, **options) for _ in range(2)]
    (one, errors), (two, _) = (process.communicate() for process in running)
    assert one == two and len(one.split()) == STEPS, errors


def main():
    """Trains for some steps and prints a hash of all weights after each."""
    import keras

    from mamsf_keras import SelectiveEMACallback, TrainConfig
    from mamsf_keras.training.build import build_backbone, build_model, class_counts
    from mamsf_keras.training.phases import begin, phases

    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (STEPS * BATCH, SIZE, SIZE, 1), dtype=np.uint8)
    labels = (rng.random((STEPS * BATCH, 14)) < 0.1).astype("float32")
    config = TrainConfig("data", backbone="efficientnetv2-b0", image_size=SIZE, epochs=STEPS)
    model = build_model(config, build_backbone(config, None), [f"finding {i}" for i in range(14)], class_counts(labels))
    begin(model, phases(config)[0], config, 1, class_counts(labels))
    for step in range(STEPS):
        rows = slice(step * BATCH, (step + 1) * BATCH)
        data = (images[rows], labels[rows])
        model.fit(*data, batch_size=BATCH, callbacks=[SelectiveEMACallback(0.9)], shuffle=False, verbose=0)
        weights = [np.ascontiguousarray(weight) for weight in model.get_weights()]
        print(hashlib.sha256(b"".join(weight.tobytes() for weight in weights)).hexdigest(), flush=True)


if __name__ == "__main__":
    main()

"""A model of each cut, saved here and loaded on every backend."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from mamsf_keras import MAMSFNet, efficientnetv2, load_model
from mamsf_keras.config import CUTS

IMAGES = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 1), dtype=np.uint8)


def outputs(path):
    return load_model(path).predict(IMAGES, verbose=0)


def unlike_twin(path, cut):
    """Saves a model whose shadow is not the online block and whose logits spread by 1 over the images."""
    keras.utils.set_random_seed(0)
    model = MAMSFNet(efficientnetv2("efficientnetv2-b0", cut, image_size=32), ("A", "B"), classifier_activation=None)
    for weight in model.anchor.shadow.weights:
        weight.assign(keras.ops.convert_to_numpy(weight) * np.random.default_rng(1).uniform(0.5, 1.5, weight.shape))
    kernel = model.classifier.kernel
    kernel.assign(keras.ops.convert_to_numpy(kernel) / model.predict(IMAGES, verbose=0).std(axis=0))
    model.save(path)


@pytest.mark.slow
@pytest.mark.tensorflow
def test_files_of_each_cut_give_the_same_on_every_backend(tmp_path):
    paths = [tmp_path / f"{cut}.keras" for cut in CUTS]
    for cut, path in zip(CUTS, paths, strict=True):
        unlike_twin(path, cut)
    for backend in ("jax", "torch"):
        command = [sys.executable, "-m", "tests.model.test_cuts", *paths]
        environment = {**os.environ, "KERAS_BACKEND": backend}
        subprocess.run(command, cwd=Path(__file__).parents[2], env=environment, check=True, capture_output=True)
    for path in paths:
        expected = outputs(path)
        assert expected.std(axis=0) == pytest.approx([1, 1], rel=1e-3)
        for backend in ("jax", "torch"):
            difference = np.abs(np.load(f"{path}.{backend}.npy") - expected).max()
            print(f"{path.stem}, {backend}: largest difference of a logit {difference:.1e}")
            assert difference < 1e-4


if __name__ == "__main__":
    for file in sys.argv[1:]:
        np.save(f"{file}.{keras.backend.backend()}.npy", outputs(file))

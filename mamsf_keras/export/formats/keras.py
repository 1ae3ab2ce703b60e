"""The Keras format as a folder, as `keras.saving.load_model("hf://USER/NAME")` expects it."""

from pathlib import Path

import numpy as np

from mamsf_keras.export.serving_module import ServingModule


def write_keras(module: ServingModule, folder: str | Path, images: np.ndarray | None = None) -> None:
    """Writes the unzipped content of a `.keras` file: configuration, metadata and weights, without optimizer.

    Args:
        module: the model and its functions.
        folder: the folder to write.
        images: not used; part of the interface of all writers.
    """
    module.get_model().save(folder, include_optimizer=False, zipped=False)

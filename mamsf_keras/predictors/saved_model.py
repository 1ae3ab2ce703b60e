"""Predictions of a SavedModel."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from mamsf_keras.predictors.predictor import Predictor


class SavedModelPredictor(Predictor):
    """Predicts with a SavedModel that `export` wrote.

    Args:
        path: folder of one version, with `saved_model.pb`.
    """

    def __init__(self, path: str | Path) -> None:
        self.loaded = tf.saved_model.load(str(path))  # the signature does not keep it alive
        self.signature = self.loaded.signatures["serving_default"]
        _, inputs = self.signature.structured_input_signature
        self.image_size = inputs["images"].shape[1]
        size = self.image_size or 32
        outputs = self.signature(images=tf.zeros((1, size, size, 1)))
        self.findings = tuple(name.decode() for name in outputs["findings"].numpy()[0])

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Predicts one batch; see `Predictor.predict`."""
        return self.outputs(images)["probabilities"]

    def outputs(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Returns every output for one batch; see `Predictor.outputs`."""
        return _numeric(self.signature(images=tf.constant(images, tf.float32)))

    def outputs_of_files(self, contents: Sequence[bytes]) -> dict[str, np.ndarray]:
        """Returns every output for the bytes of PNG or JPEG files, decoded and resized by the graph.

        Raises:
            tf.errors.InvalidArgumentError: if one of them cannot be decoded.
        """
        return _numeric(self.loaded.signatures["serve_bytes"](image_bytes=tf.constant(contents, tf.string)))


def _numeric(outputs):
    return {name: value.numpy() for name, value in outputs.items() if name != "findings"}

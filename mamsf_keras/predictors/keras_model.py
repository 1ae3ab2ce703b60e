"""Predictions of a Keras model."""

import numpy as np

from mamsf_keras.data.batches.feed import evaluation_batches
from mamsf_keras.data.batches.stream import Stream, named_errors
from mamsf_keras.model.mamsf import MAMSFNet, load_model
from mamsf_keras.predictors.predictor import Predictor


class KerasPredictor(Predictor):
    """Predicts with a `MAMSFNet`. A model that returns logits gives logits in place of probabilities.

    Args:
        model: the model, or the path of its `.keras` file.
    """

    def __init__(self, model: MAMSFNet | str):
        self.model = model if isinstance(model, MAMSFNet) else load_model(model)
        self.findings = self.model.findings
        self.image_size = self.model.image_size

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Predicts one batch; see `Predictor.predict`."""
        return np.asarray(self.model.predict_on_batch(images))

    def predict_stream(self, stream: Stream, progress: bool = True) -> np.ndarray:
        """Predicts every image, read ahead by the pipeline of the backend; see `Predictor.predict_stream`."""
        with named_errors(stream):
            outputs = self.model.predict(evaluation_batches(stream), verbose="auto" if progress else 0)
        return np.asarray(outputs, dtype=np.float64)[: len(stream)]

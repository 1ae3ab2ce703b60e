"""Predictions of a Keras model."""

import functools
from pathlib import Path

import keras
import numpy as np
from tqdm import tqdm

from mamsf_keras.data.batches.feed import evaluation_batches
from mamsf_keras.data.batches.stream import Stream, named_errors
from mamsf_keras.devices import without_tensorflow
from mamsf_keras.model.mamsf import MAMSFNet, load_model
from mamsf_keras.predictors.predictor import Predictor


class KerasPredictor(Predictor):
    """Predicts with a `MAMSFNet`. If the model returns logits, so does `predict`.

    Args:
        model: the model, or the path of its `.keras` file or of a folder with its content.
    """

    compiles = True

    @without_tensorflow()
    def __init__(self, model: MAMSFNet | str | Path) -> None:
        self.model = model if isinstance(model, MAMSFNet) else load_model(model)
        self.findings = self.model.findings
        self.image_size = self.model.image_size

    @without_tensorflow()
    def predict(self, images: np.ndarray) -> np.ndarray:
        """Predicts one batch; see `Predictor.predict`."""
        return np.asarray(self.model.predict_on_batch(images))

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Returns the logits of one batch, float `(batch, findings)`. Probabilities near 1 would lose digits."""
        return np.asarray(self._linear.predict_on_batch(images))

    @functools.cached_property
    def _linear(self) -> MAMSFNet:
        linear = MAMSFNet.from_config({**self.model.get_config(), "classifier_activation": None})
        linear.set_weights(self.model.get_weights())
        return linear

    def predict_stream(self, stream: Stream, progress: bool = True) -> np.ndarray:
        """Predicts every image, prefetched by the input pipeline of the backend; see `Predictor.predict_stream`."""
        bar = [PredictionBar(stream)] if progress else []
        with named_errors(stream):
            outputs = self.model.predict(evaluation_batches(stream), verbose=0, callbacks=bar)
        return np.asarray(outputs, dtype=np.float64)[: len(stream)]


class PredictionBar(keras.callbacks.Callback):
    """Shows the progress of `predict` if it takes more than a second.

    Args:
        stream: the images that are predicted.
    """

    async_safe = True

    def __init__(self, stream: Stream) -> None:
        super().__init__()
        self.stream = stream

    def on_predict_begin(self, logs: dict | None = None) -> None:
        """Makes the bar."""
        self.bar = tqdm(total=len(self.stream), desc="predicting", unit=" images", delay=1)

    def on_predict_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Moves the bar."""
        self.bar.update(min((batch + 1) * self.stream.batch_size, len(self.stream)) - self.bar.n)

    def on_predict_end(self, logs: dict | None = None) -> None:
        """Completes the bar."""
        self.bar.close()

"""Predictor: the common interface of all models that make predictions."""

import abc
import math

import numpy as np
from tqdm import tqdm

from mamsf_keras.data.batches.stream import Stream, named_errors


class Predictor(abc.ABC):
    """Predicts the probabilities of findings from gray images.

    A subclass loads its model in the constructor and implements `predict`.

    Attributes:
        findings: names of the outputs, in order.
        image_size: height and width of the input in pixels; None for any size.
        compiles: True if the model is compiled anew for each batch size, so that callers pad the last batch.
    """

    findings: tuple[str, ...]
    image_size: int | None
    compiles = False

    @abc.abstractmethod
    def predict(self, images: np.ndarray) -> np.ndarray:
        """Predicts one batch.

        Args:
            images: uint8 `(batch, height, width, 1)`.

        Returns:
            Probabilities, float `(batch, findings)`.
        """

    def outputs(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Predicts one batch and returns all outputs of the model.

        Args:
            images: uint8 `(batch, height, width, 1)`.

        Returns:
            `probabilities`, float `(batch, findings)`. SavedModel, TFLite and ONNX files also return `logits`. With a
            calibration, they and servers also return `calibrated`, the calibrated probabilities, and `positive`, bool,
            the decisions at the operating point of the export.
        """
        return {"probabilities": self.predict(images)}

    def predict_stream(self, stream: Stream, progress: bool = True) -> np.ndarray:
        """Predicts every image of a stream exactly once.

        Args:
            stream: the images.
            progress: whether to show a progress bar.

        Returns:
            Probabilities, float64 `(images, findings)`, in the row order of the stream.
        """
        count = math.ceil(len(stream) / stream.batch_size)
        steps = tqdm(range(count), desc="predicting", unit=" batches", delay=1) if progress else range(count)
        with named_errors(stream):
            outputs = [self.predict(stream.images_in_order(step)) for step in steps]
        return np.concatenate(outputs).astype(np.float64)[: len(stream)]

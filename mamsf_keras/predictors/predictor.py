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
    """

    findings: tuple[str, ...]
    image_size: int | None

    @abc.abstractmethod
    def predict(self, images: np.ndarray) -> np.ndarray:
        """Predicts one batch.

        Args:
            images: uint8 `(batch, height, width, 1)`.

        Returns:
            Probabilities, float `(batch, findings)`.
        """

    def outputs(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Returns every output for one batch by name, first dimension the batch.

        The names are `probabilities` and, where the model has them, `logits`, `calibrated` and `positive`.

        Args:
            images: uint8 `(batch, height, width, 1)`.
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

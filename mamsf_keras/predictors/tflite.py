"""Predictions of a TFLite file, run by LiteRT."""

import zipfile
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from mamsf_keras.predictors.predictor import Predictor


class TFLitePredictor(Predictor):
    """Predicts with a `.tflite` file that `export` wrote.

    Args:
        path: the file, with the names of the findings attached as `labels.txt`.
    """

    def __init__(self, path: str | Path) -> None:
        self.interpreter = Interpreter(model_path=str(path))
        [self.input] = self.interpreter.get_input_details()
        [self.output] = self.interpreter.get_output_details()
        height = int(self.input["shape_signature"][1])
        self.image_size = height if height > 0 else None
        with zipfile.ZipFile(path) as archive:
            self.findings = tuple(archive.read("labels.txt").decode().split("\n")[:-1])

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Predicts one batch; see `Predictor.predict`."""
        self.interpreter.resize_tensor_input(self.input["index"], images.shape)
        self.interpreter.allocate_tensors()
        self.interpreter.set_tensor(self.input["index"], images.astype(np.float32))
        self.interpreter.invoke()
        return self.interpreter.get_tensor(self.output["index"])

"""Predictions of an ONNX file, run by ONNX Runtime."""

import json
from pathlib import Path

import numpy as np

from mamsf_keras.predictors.predictor import Predictor


class ONNXPredictor(Predictor):
    """Predicts with an `.onnx` file that `export` wrote, on the CPU.

    Args:
        path: the file.

    Raises:
        ImportError: if onnxruntime is not installed.
    """

    def __init__(self, path: str | Path) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise ImportError(f'{path} is an ONNX file. Running it needs `pip install "mamsf-keras[onnx]"`.') from error
        self.session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        size = self.session.get_inputs()[0].shape[1]
        self.image_size = size if isinstance(size, int) else None
        self.names = [output.name for output in self.session.get_outputs()]
        self.findings = tuple(json.loads(self.session.get_modelmeta().custom_metadata_map["findings"]))

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Predicts one batch; see `Predictor.predict`."""
        return self.outputs(images)["probabilities"]

    def outputs(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Returns every output for one batch; see `Predictor.outputs`."""
        values = self.session.run(self.names, {"images": images.astype(np.float32)})
        return dict(zip(self.names, values, strict=True))

"""Predictions of a TFLite file, run by LiteRT."""

import json
import logging
import os
import zipfile
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from scipy.special import expit

from mamsf_keras.predictors.predictor import Predictor

logger = logging.getLogger(__name__)


class TFLitePredictor(Predictor):
    """Predicts with a `.tflite` file that `export` wrote.

    Args:
        path: the file, with the names of the findings attached as `labels.txt`. An int8 file also needs
            `FILE.json` next to it for its calibration, because its graph ends at the logits; without it, a warning is
            logged.
    """

    def __init__(self, path: str | Path) -> None:
        self.interpreter = Interpreter(model_path=str(path), num_threads=os.cpu_count())
        runner = self.interpreter.get_signature_runner("serving_default")
        self.input = runner.get_input_details()["images"]
        self.output_details = runner.get_output_details()
        height = int(self.input["shape_signature"][1])
        self.image_size = height if height > 0 else None
        with zipfile.ZipFile(path) as archive:
            self.findings = tuple(archive.read("labels.txt").decode().split("\n")[:-1])
        self.calibration = self._read_calibration(Path(f"{path}.json"))
        self.shape: tuple[int, ...] = ()

    def _read_calibration(self, path):
        """Returns the calibration in the description of an int8 file; None without one, or for other files."""
        if "probabilities" in self.output_details:
            return None
        if not path.exists():
            logger.warning(
                "no calibrated probabilities and no decisions: %s is missing. Copy it from the folder of the export; "
                "it contains the calibration of the int8 file.",
                path,
            )
            return None
        return json.loads(path.read_text(encoding="utf-8"))["calibration"]

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Predicts one batch; see `Predictor.predict`."""
        return self.outputs(images)["probabilities"]

    def outputs(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Returns every output for one batch; see `Predictor.outputs`."""
        if images.shape != self.shape:
            self.interpreter.resize_tensor_input(self.input["index"], images.shape)
            self.interpreter.allocate_tensors()
            self.shape = images.shape
        self.interpreter.set_tensor(self.input["index"], images.astype(np.float32))
        self.interpreter.invoke()
        outputs = {name: self.interpreter.get_tensor(item["index"]) for name, item in self.output_details.items()}
        return outputs if "probabilities" in outputs else self._completed(outputs)

    def _completed(self, outputs):
        """Adds the outputs that follow from the logits."""
        logits = outputs["logits"].astype(np.float64)
        outputs = {**outputs, "probabilities": expit(logits)}
        if self.calibration is None:
            return outputs
        largest = self.calibration["largest_logit"]
        rows = [self.calibration["findings"][name] for name in self.findings]
        slope, intercept, threshold = (
            np.array([missing if row[name] is None else row[name] for row in rows])
            for name, missing in (("slope", np.nan), ("intercept", np.nan), ("threshold", np.inf))
        )
        return {
            **outputs,
            "calibrated": expit(np.clip(logits, -largest, largest) * slope + intercept),
            "positive": outputs["probabilities"] >= threshold,
        }

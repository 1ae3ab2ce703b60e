"""TFLite (LiteRT) for phones: `images` in, `probabilities` out, the findings attached as `labels.txt`."""

import zipfile
from pathlib import Path

import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from mamsf_keras.export.saved_model import ServingModule


def write_tflite(module: ServingModule, path):
    """Converts to a float32 `.tflite` with a free batch size.

    The names of the findings are appended as a zip entry `labels.txt`, one a line, as TFLite metadata keeps its
    associated files: `unzip -p FILE labels.txt` prints them, and interpreters do not mind.
    """
    function = module.probabilities.get_concrete_function()
    Path(path).write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([function], module).convert())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.txt", "\n".join(module.findings) + "\n")


def load_tflite(path):
    """Loads a `.tflite`; returns a function of float32 images to the probabilities `(batch, findings)`."""
    interpreter = Interpreter(model_path=str(path))
    [tensor] = interpreter.get_input_details()

    def run(images: np.ndarray) -> np.ndarray:
        interpreter.resize_tensor_input(tensor["index"], images.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(tensor["index"], images)
        interpreter.invoke()
        return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])

    return run

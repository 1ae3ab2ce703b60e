"""TFLite (LiteRT) for phones: `images` in, outputs by name out, a description in JSON next to the file."""

import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from mamsf_keras.config import QUANTIZATIONS
from mamsf_keras.export.description import describe
from mamsf_keras.export.serving_module import ServingModule
from mamsf_keras.settings import require_choice
from mamsf_keras.storage import write_json


def write_tflite(
    module: ServingModule, path: str | Path, images: np.ndarray | None = None, quantize: str = "none"
) -> None:
    """Converts to `.tflite` with a dynamic batch size and the signature `serving_default`.

    The outputs are those of `ServingModule.function`. An int8 graph ends at `logits`: with one 8-bit scale for all
    findings, a sigmoid would have no resolution for rare findings. `FILE.json` describes inputs and outputs and has the
    coefficients of the calibration. The findings are also appended as a zip entry `labels.txt`, as TFLite metadata
    does: `unzip -p FILE labels.txt` prints them, and interpreters ignore them.

    Args:
        module: the model and its functions.
        path: the file to write.
        images: uint8 `(images, height, width, 1)`, on which int8 measures the ranges of the activations.
        quantize: "none" (float32), "float16" (weights), "dynamic" (int8 weights) or "int8" (weights and activations;
            input and output stay float32).
    """
    require_choice(quantize, "quantize", QUANTIZATIONS)
    function = module.function(["logits"]) if quantize == "int8" else module.function()
    with tempfile.TemporaryDirectory() as folder:
        # Only a conversion from a SavedModel keeps the names of the outputs.
        tf.saved_model.save(module, folder, signatures={"serving_default": function})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["serving_default"])
        _quantize(converter, quantize, images)
        Path(path).write_bytes(converter.convert())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.txt", "\n".join(module.findings) + "\n")
    write_json(f"{path}.json", {**describe(module), "quantize": quantize})


def _quantize(converter, quantize, images):
    if quantize != "none":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if quantize == "int8":
        if images is None:
            raise ValueError("`images` must be given for `quantize` int8, to measure the ranges of the activations.")
        converter.representative_dataset = lambda: _representative(images)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]


def _representative(images) -> Iterator[list[np.ndarray]]:
    for image in images:
        yield [image[np.newaxis].astype(np.float32)]

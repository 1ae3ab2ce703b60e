"""TFLite (LiteRT) for phones: `images` in, `probabilities` out, the findings attached as `labels.txt`."""

import zipfile
from pathlib import Path

import tensorflow as tf

from mamsf_keras.export.formats.saved_model import ServingModule


def write_tflite(module: ServingModule, path: str | Path) -> None:
    """Converts to a float32 `.tflite` with a free batch size.

    The names of the findings are appended as a zip entry `labels.txt`, one per line, as TFLite metadata keeps its
    associated files. `unzip -p FILE labels.txt` prints them, and interpreters ignore them.
    """
    function = module.probabilities.get_concrete_function()
    Path(path).write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([function], module).convert())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("labels.txt", "\n".join(module.findings) + "\n")

"""The export formats.

A format has a writer, `formats/NAME.py`, and a predictor that reads it back, `predictors/NAME.py`.
To add one, write both modules, add an entry to `FORMATS` here, its name to `config.FORMATS` and its suffix to
`inference.exports.EXPORTS`.
"""

import dataclasses
import importlib
from collections.abc import Callable, Iterable, Mapping

from mamsf_keras import config
from mamsf_keras.export.results import Limits


@dataclasses.dataclass(frozen=True)
class Format:
    """An export format. Its modules are imported when they are used, so LiteRT is needed only for "tflite".

    Attributes:
        writer: module and name of the function that writes a `ServingModule` to a path.
        predictor: module and name of the `Predictor` that loads it.
        file_name: name of the file or folder, with placeholders for `model`, the name of the model, and `version`.
        limits: how far its outputs may differ from those of Keras.
        options: further arguments of the writer.
    """

    writer: tuple[str, str]
    predictor: tuple[str, str]
    file_name: str
    limits: Limits
    options: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def load(self) -> tuple[Callable, Callable]:
        """Imports and returns the writer and the predictor."""
        (writer_module, writer), (predictor_module, predictor) = self.writer, self.predictor
        return (
            getattr(importlib.import_module(f"mamsf_keras.export.formats.{writer_module}"), writer),
            getattr(importlib.import_module(f"mamsf_keras.predictors.{predictor_module}"), predictor),
        )


def _tflite(quantize: str, limits: Limits) -> Format:
    suffix = "" if quantize == "none" else f"-{quantize}"
    return Format(
        ("tflite", "write_tflite"),
        ("tflite", "TFLitePredictor"),
        f"{{model}}-{{version}}{suffix}.tflite",
        limits,
        {"quantize": quantize},
    )


FLOAT32 = Limits(logits=1e-4, auroc=0.001)

FORMATS = {
    "saved-model": Format(
        ("saved_model", "write_saved_model"), ("saved_model", "SavedModelPredictor"), "{version}", FLOAT32
    ),
    "tflite": _tflite("none", FLOAT32),
    "tflite-float16": _tflite("float16", Limits(logits=0.1, auroc=0.001)),
    "tflite-dynamic": _tflite("dynamic", Limits(logits=2.0, auroc=0.01)),
    "tflite-int8": _tflite("int8", Limits(logits=4.0, auroc=0.01)),
    "onnx": Format(("onnx", "write_onnx"), ("onnx", "ONNXPredictor"), "{model}-{version}.onnx", FLOAT32),
    "keras": Format(("keras", "write_keras"), ("keras_model", "KerasPredictor"), "{model}-{version}-keras", FLOAT32),
}
"""The formats by name. Each quantization of TFLite is a separate format. docs/serving.md explains the limits."""


def selected(formats: Iterable[str], quantize: Iterable[str] = ("none",)) -> list[str]:
    """Returns the keys of `FORMATS` for the given formats and the given quantizations of TFLite.

    Raises:
        ValueError: if one is unknown, there are none, or `quantize` is given without "tflite".
    """
    formats, quantize = _listed("formats", formats, config.FORMATS), _listed("quantize", quantize, config.QUANTIZATIONS)
    if "tflite" not in formats and quantize != ["none"]:
        raise ValueError(f"`quantize` can only be used with the format tflite. Received: formats={', '.join(formats)}.")
    variants = ["tflite" if way == "none" else f"tflite-{way}" for way in quantize]
    return [name for given in formats for name in (variants if given == "tflite" else [given])]


def _listed(name, values, known):
    values = values if isinstance(values, str) else list(dict.fromkeys(values))
    if isinstance(values, str) or not values or not set(values) <= set(known):
        raise ValueError(f"`{name}` must be a list of {', '.join(known)}. Received: {name}={values!r}.")
    return values

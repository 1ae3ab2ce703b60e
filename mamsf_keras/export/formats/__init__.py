"""The export formats.

A format has a writer, `formats/NAME.py`, and a predictor that reads it back, `predictors/NAME.py`. To add one, write
both modules, add an entry to `FORMATS` here and its name to `config.FORMATS`.
"""

import dataclasses
import importlib
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Format:
    """An export format. Its modules are imported when they are used, so LiteRT is needed for "tflite" alone.

    Attributes:
        writer: module and name of the function that writes a `ServingModule` to a path.
        predictor: module and name of the `Predictor` that loads it.
        file_name: function from the name of the model and the version to the name of the file or folder.
    """

    writer: tuple[str, str]
    predictor: tuple[str, str]
    file_name: Callable[[str, int], str]

    def load(self) -> tuple[Callable, Callable]:
        """Imports and returns the writer and the predictor."""
        (writer_module, writer), (predictor_module, predictor) = self.writer, self.predictor
        return (
            getattr(importlib.import_module(f"mamsf_keras.export.formats.{writer_module}"), writer),
            getattr(importlib.import_module(f"mamsf_keras.predictors.{predictor_module}"), predictor),
        )


FORMATS = {
    "saved-model": Format(
        ("saved_model", "write_saved_model"),
        ("saved_model", "SavedModelPredictor"),
        lambda model, version: str(version),
    ),
    "tflite": Format(
        ("tflite", "write_tflite"),
        ("tflite", "TFLitePredictor"),
        lambda model, version: f"{model}-{version}.tflite",
    ),
}
"""The formats by name."""

"""Opens an export of any format as a predictor."""

import importlib
from pathlib import Path

from mamsf_keras.errors import reason
from mamsf_keras.predictors.predictor import Predictor

EXPORTS = {
    ".keras": ("keras_model", "KerasPredictor"),
    ".tflite": ("tflite", "TFLitePredictor"),
    ".onnx": ("onnx", "ONNXPredictor"),
}
"""Module and name of the predictor by suffix of the export. Folders are SavedModels, or unzipped `.keras` files."""
SAVED_MODEL = ("saved_model", "SavedModelPredictor")


def open_export(path: str | Path) -> Predictor:
    """Opens an export by its suffix.

    Raises:
        FileNotFoundError: if it does not exist.
        ImportError: if the package that runs it is not installed.
        ValueError: if it is not an export of this package, or is damaged.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"The model {path} does not exist.")
    if not path.is_dir() and path.suffix not in EXPORTS:
        raise ValueError(f"`model` must be a folder or end in {', '.join(EXPORTS)}. Received: model={path}.")
    suffix = _folder_suffix(path) if path.is_dir() else path.suffix
    module, name = EXPORTS.get(suffix, SAVED_MODEL)
    return checked(_loaded(getattr(importlib.import_module(f"mamsf_keras.predictors.{module}"), name), path))


def _loaded(predictor, path) -> Predictor:
    """Loads an export, and converts the exceptions of the loaders, which have no common base, to `ValueError`."""
    try:
        return predictor(path)
    except (ImportError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, (ValueError, OSError)) and str(path) in str(error):
            raise
        raise ValueError(
            f"{path} is not an export of this package, or it is damaged: {type(error).__name__}: {reason(error)}"
        ) from error


def checked(predictor: Predictor) -> Predictor:
    """Returns a predictor, or raises `ValueError` if its model returns logits."""
    model = getattr(predictor, "model", None)
    if getattr(model, "classifier_activation", "sigmoid") != "sigmoid":
        raise ValueError("The model returns logits. Save it with `classifier_activation` sigmoid.")
    return predictor


def _folder_suffix(path) -> str:
    """Returns ".keras" for an unzipped `.keras` file, as on the Hugging Face Hub, and "" for a SavedModel."""
    if (path / "model.weights.h5").is_file():
        return ".keras"
    if not (path / "saved_model.pb").is_file():
        raise ValueError(f"{path} is not a SavedModel. {_versions(path)}")
    return ""


def _versions(path) -> str:
    numbers = sorted(int(folder.name) for folder in path.iterdir() if folder.name.isdecimal())
    return (
        f"It has versions. Choose one, such as {path / str(numbers[-1])}." if numbers else "It has no saved_model.pb."
    )

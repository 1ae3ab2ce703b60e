"""What an application needs alongside an exported model: names, preprocessing, outputs, calibration."""

from typing import TYPE_CHECKING, Any

import numpy as np

from mamsf_keras.config import NOTICE
from mamsf_keras.evaluation.reliability import LARGEST_LOGIT

if TYPE_CHECKING:  # it needs TensorFlow, which an export on JAX or PyTorch leaves to its workers
    from mamsf_keras.export.serving_module import ServingModule

EXTRA = "assets.extra"
"""The folder of a SavedModel for additional files, which TensorFlow ignores."""
SCHEMA_VERSION = 1

OUTPUTS = {
    "logits": "float32 (batch, findings)",
    "probabilities": "float32 (batch, findings), the sigmoid of the logits",
    "calibrated": "float32 (batch, findings), sigmoid(slope x clipped logit + intercept); NaN without a fit",
    "positive": "bool (batch, findings), true if the probability is at least the threshold; false without a threshold",
    "findings": "string (batch, findings), the names",
}


def describe(module: "ServingModule") -> dict[str, Any]:
    """Describes the inputs and outputs of a model as a JSON-ready dictionary.

    Returns:
        `findings`, `preprocessing`, `outputs`, and `calibration`: the operating point, and for each finding `slope`,
        `intercept` and `threshold`, None where there was no fit. `calibration` is None without one.
    """
    calibration = None
    if platt := module.get_platt():
        columns = {name: [v if np.isfinite(v) else None for v in values] for name, values in platt.items()}
        rows = zip(module.findings, *columns.values(), strict=True)
        by_finding = {name: dict(zip(columns, values, strict=True)) for name, *values in rows}
        calibration = {
            "operating_point": module.operating_point,
            "largest_logit": LARGEST_LOGIT,
            "findings": by_finding,
        }
    names = [name for name in OUTPUTS if calibration or name not in ("calibrated", "positive")]
    return {
        "schema_version": SCHEMA_VERSION,
        "notice": NOTICE,
        "findings": list(module.findings),
        "preprocessing": preprocessing(module.image_size),
        "outputs": {name: OUTPUTS[name] for name in names},
        "calibration": calibration,
    }


def preprocessing(image_size: int | None) -> dict[str, Any]:
    """Describes how pixels become the input `images`; the rules are at the top of `mamsf_keras/images/gray.py`."""
    return {
        "input": "images",
        "type": "float32",
        "shape": ["batch", image_size, image_size, 1],
        "range": [0, 255],
        "black": 0,
        "white": 255,
        "grayscale": "ITU-R 601 luma; alpha and orientation tags are ignored; 16-bit gray is scaled by "
        "255 / (2^b - 1), where b is the smallest of 8, 10, 12, 14, 16 whose range holds the maximum",
        "resize": "to a square, bilinear with antialiasing, without preserving the aspect ratio",
        "normalization": "none: it is part of the model",
    }

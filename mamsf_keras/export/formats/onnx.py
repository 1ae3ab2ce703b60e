"""ONNX for ONNX Runtime: `images` in, outputs by name out, a description in JSON next to the file."""

import json
from pathlib import Path

import numpy as np

from mamsf_keras.export.description import describe
from mamsf_keras.export.serving_module import ServingModule
from mamsf_keras.storage import write_json

OPSET = 18


def write_onnx(module: ServingModule, path: str | Path, images: np.ndarray | None = None) -> None:
    """Converts to `.onnx` with a dynamic batch size, the input `images` and the outputs of `ServingModule.function`.

    `FILE.json` describes inputs and outputs; the metadata entry `findings` contains their names as a JSON list.

    Args:
        module: the model and its functions.
        path: the file to write.
        images: not used; part of the interface of all writers.

    Raises:
        ImportError: if onnx or tf2onnx is not installed.
    """
    try:
        import onnx
        import tf2onnx
    except ImportError as error:
        raise ImportError(f'ONNX export needs `pip install "mamsf-keras[onnx]"`: {error}.') from error
    function = module.function()
    model, _ = tf2onnx.convert.from_function(function, input_signature=function.input_signature, opset=OPSET)
    names = [value.name for value in model.graph.input], {value.name for value in model.graph.output}
    wanted = ["images"], set(function.get_concrete_function().structured_outputs)
    if names != wanted:
        raise ValueError(f"tf2onnx named the inputs and outputs {names} instead of {wanted}.")
    onnx.helper.set_model_props(model, {"findings": json.dumps(module.findings)})
    onnx.save_model(model, path)
    write_json(f"{path}.json", describe(module))

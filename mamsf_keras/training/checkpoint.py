"""The whole state of a run after an epoch, so that a resumed run equals an undisturbed one."""

import json
from pathlib import Path

import numpy as np
from keras import ops

from mamsf_keras.files import whole_file
from mamsf_keras.training.selective_ema import disarm

KEPT = 2
"""Checkpoints that stay in the folder."""


def save_checkpoint(model, history, folder):
    """Writes `epoch-NNNN.npz`, whole or not at all, and removes all but the newest ones.

    It holds every variable of the model and of its optimizer. The states of the random generators are among them, which
    Keras' own files leave out, and so are the shadow and the anchor's clock. (On PyTorch a `Dropout` without
    `noise_shape` draws from PyTorch's global generator, which is not there; EfficientNet has none.)

    Args:
        model: compiled.
        history: the logs of each finished epoch; their number names the file.
        folder: made if it is missing.
    """
    folder = Path(folder)
    folder.mkdir(exist_ok=True)
    arrays = {str(number): ops.convert_to_numpy(variable) for number, variable in enumerate(_variables(model))}
    with whole_file(folder / f"epoch-{len(history):04d}.npz") as temporary:
        np.savez(temporary, history=np.array(json.dumps(history)), count=len(arrays), **arrays)
    for old in checkpoints(folder)[KEPT:]:
        old.unlink()


def checkpoints(folder) -> list[Path]:
    """Lists the checkpoints, the newest first."""
    return sorted(Path(folder).glob("epoch-*.npz"), key=lambda path: (len(path.name), path.name), reverse=True)


def read_checkpoint(folder) -> tuple[list[dict], list[np.ndarray]]:
    """Reads the newest checkpoint that is not damaged, and says which ones are.

    Returns:
        The history and the arrays for `assign_state`; both are empty where there is none.

    Raises:
        ValueError: if there are some and all are damaged.
    """
    for path in checkpoints(folder):
        try:
            with np.load(path) as file:
                arrays = [file[str(number)] for number in range(file["count"])]
                return json.loads(str(file["history"])), arrays
        except (MemoryError, PermissionError):
            raise
        except Exception:  # damaged bytes make zipfile, zlib and NumPy raise errors of many kinds
            print(f"{path} is damaged and passed over", flush=True)
    if checkpoints(folder):
        raise ValueError(
            f"All checkpoints in {folder} are damaged: begin a new run. What `best.keras` learned is still there."
        )
    return [], []


def assign_state(model, arrays):
    """Gives a model and its optimizer the arrays of a checkpoint.

    The anchor comes back disarmed with its clock running on: a `SelectiveEMACallback` arms it at the start of `fit`.

    Args:
        model: built and compiled as the one that was saved; its optimizer is built.
        arrays: what `read_checkpoint` returned.

    Raises:
        ValueError: if they are of another model or optimizer.
    """
    variables = _variables(model)
    if [array.shape for array in arrays] != [tuple(variable.shape) for variable in variables]:
        raise ValueError("The checkpoint is the state of another model or optimizer.")
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
    disarm(model)


def _variables(model):
    return [*model.variables, *model.optimizer.variables]

"""The whole state of a model in training, so that a resumed run equals an undisturbed one."""

import zipfile

import numpy as np
from keras import ops

from mamsf_keras.files import whole_file
from mamsf_keras.training.selective_ema import disarm


def save_state(model, path):
    """Writes every variable of a model and of its optimizer to an `.npz` file, whole or not at all.

    The states of the random generators are among them, which Keras' own files leave out, and so are the shadow and the
    anchor's clock. (On PyTorch a `Dropout` without `noise_shape` draws from PyTorch's global generator, which is not
    there; EfficientNet has none.)
    """
    arrays = {str(number): ops.convert_to_numpy(variable) for number, variable in enumerate(_variables(model))}
    with whole_file(path) as temporary:
        np.savez(temporary, **arrays)


def load_state(model, path):
    """Reads what `save_state` wrote.

    The anchor comes back disarmed with its clock running on: a `SelectiveEMACallback` arms it at the start of `fit`.

    Args:
        model: built and compiled as the one that was saved; its optimizer is built.
        path: the file.

    Raises:
        ValueError: if the file is damaged, or of another model or optimizer.
    """
    variables = _variables(model)
    try:
        with np.load(path) as file:
            arrays = [file[str(number)] for number in range(len(file.files))]
    except (zipfile.BadZipFile, KeyError, EOFError, ValueError) as error:
        raise ValueError(f"{path} is damaged or no state of a model: {error}") from error
    if [array.shape for array in arrays] != [tuple(variable.shape) for variable in variables]:
        raise ValueError(f"{path} is the state of another model or optimizer.")
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
    disarm(model)


def _variables(model):
    return [*model.variables, *model.optimizer.variables]

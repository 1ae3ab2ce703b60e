"""Checkpoint: the complete state of a run after an epoch, so that a resumed run equals an uninterrupted one."""

import dataclasses
import json
import logging
from typing import Any

import keras
import numpy as np
from keras import ops

from mamsf_keras.model.block import finalize
from mamsf_keras.run_dir import RunDir
from mamsf_keras.storage import atomic_write
from mamsf_keras.training.callbacks.selective_ema import stop_tracking
from mamsf_keras.training.history import History

KEPT = 2
"""Number of checkpoints that are kept."""

logger = logging.getLogger(__name__)


@dataclasses.dataclass
class Checkpoint:
    """The state of a run after an epoch.

    It holds every variable of the model and its optimizer, including the shadow with its counts and the states of the
    random generators, which Keras' own files leave out. (On PyTorch, a `Dropout` without `noise_shape` draws from
    PyTorch's global generator, which is not included; EfficientNet has none.)

    Attributes:
        history: the finished epochs; empty at the start of a run.
        arrays: the values of the variables, in the order of the model.
    """

    history: History
    arrays: list[np.ndarray]

    @classmethod
    def of(cls, model: keras.Model, history: History) -> "Checkpoint":
        """Returns the state of a compiled model."""
        return cls(history, [ops.convert_to_numpy(variable) for variable in _variables(model)])

    @classmethod
    def read_newest(cls, run: RunDir) -> "Checkpoint":
        """Reads the newest intact checkpoint and logs which ones are damaged. A new run has an empty one.

        Raises:
            ValueError: if there are checkpoints and all are damaged, or finished epochs without a checkpoint.
        """
        for path in run.checkpoint_files():
            try:
                return cls._read(path)
            except (MemoryError, PermissionError):
                raise
            except Exception:  # on damaged bytes zipfile, zlib and NumPy raise errors of many kinds
                logger.warning("%s is damaged and skipped", path)
        if run.checkpoint_files():
            raise ValueError(f"All checkpoints in {run.checkpoints} are damaged. Start a new run.")
        if run.history.exists():
            raise ValueError(f"{run.path} has finished epochs but no checkpoint to resume from. Start a new run.")
        return cls(History(), [])

    @classmethod
    def _read(cls, path) -> "Checkpoint":
        with open(path, "rb") as file, np.load(file) as content:
            arrays = [content[str(number)] for number in range(content["count"])]
            return cls(History(json.loads(str(content["history"]))), arrays)

    def write(self, run: RunDir) -> None:
        """Writes the checkpoint atomically and removes all but the newest ones."""
        run.checkpoints.mkdir(exist_ok=True)
        arrays: dict[str, Any] = {str(number): array for number, array in enumerate(self.arrays)}
        with atomic_write(run.checkpoint(len(self.history))) as temporary:
            np.savez(temporary, history=np.array(json.dumps(self.history.epochs)), count=len(arrays), **arrays)
        for old in run.checkpoint_files()[KEPT:]:
            old.unlink()

    def restore(self, model: keras.Model) -> None:
        """Restores this state in a model and its optimizer. Tracking is off until a `SelectiveEMACallback` starts it.

        Args:
            model: built and compiled like the one that was saved; its optimizer is built.

        Raises:
            ValueError: if the state belongs to a different model or optimizer.
        """
        variables = _variables(model)
        if [array.shape for array in self.arrays] != [tuple(variable.shape) for variable in variables]:
            raise ValueError("The checkpoint belongs to a different model or optimizer. Start a new run.")
        for variable, array in zip(variables, self.arrays, strict=True):
            variable.assign(array)
        finalize(model)
        stop_tracking(model)


def _variables(model):
    return [*model.variables, *model.optimizer.variables]

"""InferenceCopy: writes the model under training as a file for inference."""

import functools
from collections.abc import Sequence
from pathlib import Path

from mamsf_keras.config import TrainConfig
from mamsf_keras.devices import this_process_alone
from mamsf_keras.model.mamsf import MAMSFNet
from mamsf_keras.storage import atomic_write
from mamsf_keras.training.build import build_inference_copy


class InferenceCopy:
    """Writes a model under training as a `.keras` file for inference: float32, sigmoid, no optimizer, no tracking.

    Args:
        config: configuration of the run.
        findings: names of the outputs.
    """

    def __init__(self, config: TrainConfig, findings: Sequence[str]) -> None:
        self.config = config
        self.findings = findings

    @functools.cached_property
    def model(self) -> MAMSFNet:
        """The copy, which receives the weights of the trained model before it is written."""
        return build_inference_copy(self.config, self.findings)

    def write(self, trained: MAMSFNet, path: str | Path) -> None:
        """Writes the trained model to a file atomically."""
        with this_process_alone():
            self.model.set_weights(trained.get_weights())
            with atomic_write(path) as temporary:
                self.model.save(temporary)

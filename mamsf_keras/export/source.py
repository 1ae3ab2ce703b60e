"""Source: a model and the data that its exports are made from and compared on."""

import dataclasses
import logging
from pathlib import Path
from typing import Any

import numpy as np

from mamsf_keras.data.batches.stream import Stream, named_errors
from mamsf_keras.data.dataset import Dataset
from mamsf_keras.evaluation.calibration import Calibration
from mamsf_keras.run_dir import RunDir
from mamsf_keras.storage import checksum

BATCH = 32
"""Number of images that are read at a time."""

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Source:
    """A model and the data that its exports are compared on.

    Attributes:
        model: `.keras` file.
        images: `.npy` file, uint8 `(images, height, width, 1)`, to compare on.
        representative: `.npy` file of images on which int8 measures the ranges of the activations.
        findings: names of the outputs of the model.
        labels: labels of the images, `(images, findings)`: 1, 0, or NaN where missing.
        calibration: calibration of the model, or None.
        operating_point: operating point of the output `positive`.
        card: what `describe_run` returned; None without a run.
    """

    model: Path
    images: Path
    representative: Path
    findings: tuple[str, ...]
    labels: np.ndarray
    calibration: Calibration | None = None
    operating_point: str = "youden"
    card: dict[str, Any] | None = None

    @property
    def platt(self) -> dict[str, list[float]] | None:
        """The coefficients of the calibration by name, as `Calibration.coefficients` returns them."""
        if self.calibration is None:
            return None
        return self.calibration.coefficients(self.findings, self.operating_point)


def existing_calibration(run: RunDir) -> Calibration | None:
    """Returns the calibration of the best model of a run, or None, with a warning, if there is none."""
    calibration = Calibration.of_model(run.calibration, checksum(run.model("best")))
    if calibration is None:
        logger.warning(
            "%s has no calibration of this model: the exports lack the outputs calibrated and positive. "
            "`evaluate` fits one.",
            run.path,
        )
    return calibration


def write_images(path: Path, dataset: Dataset, size: int) -> Path:
    """Writes every image of a data set as one array, uint8 `(images, size, size, 1)`, and returns its path."""
    stream = Stream(dataset, size, BATCH)
    array = np.lib.format.open_memmap(path, "w+", np.uint8, (len(stream), size, size, 1))
    with named_errors(stream):
        for start in range(0, len(stream), stream.batch_size):
            count = min(stream.batch_size, len(stream) - start)
            array[start : start + count] = stream.images_in_order(start // stream.batch_size)[:count]
    array.flush()
    return path


def spread_over(dataset: Dataset, count: int) -> Dataset:
    """Returns `count` images of a data set, spread evenly over its rows, or all if there are fewer."""
    rows = np.unique(np.linspace(0, len(dataset.table) - 1, count).astype(int))
    return dataclasses.replace(dataset, table=dataset.table.iloc[rows].reset_index(drop=True))

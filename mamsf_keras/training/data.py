"""The data of a training run: both streams, and the checks that they can be trained on."""

import dataclasses
import logging

import numpy as np

from mamsf_keras.config import TrainConfig
from mamsf_keras.data.batches.stream import Stream
from mamsf_keras.data.dataset import Dataset
from mamsf_keras.data.open import prepared
from mamsf_keras.data.splits import split_summary
from mamsf_keras.devices import Devices

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """The data of a training run.

    Attributes:
        dataset: the data set, by way of its cache.
        training: the stream of the train split.
        validation: the stream of the validation split.
        steps_per_epoch: compiled steps per epoch.
    """

    dataset: Dataset
    training: Stream
    validation: Stream
    steps_per_epoch: int

    @property
    def class_counts(self) -> tuple[np.ndarray, np.ndarray]:
        """Positive and negative training images of each finding, two arrays `(findings,)`; NaN labels are neither."""
        labels = self.training.labels
        return (labels == 1).sum(axis=0), (labels == 0).sum(axis=0)


def load_training_data(dataset: Dataset, config: TrainConfig, devices: Devices) -> TrainingData:
    """Prepares the cache if needed, opens the streams and logs what is in the splits.

    Raises:
        ValueError: if the training images do not fill a batch, or no finding can be scored on the validation images.
    """
    dataset = _prepare_once(dataset, config, devices)
    used = dataset.resolved
    for line in (*used.notes, *used.split_notes, split_summary(used.table, used.findings)):
        logger.info(line)
    share = (devices.process, devices.processes)
    size = (config.image_size, config.batch_size)
    training = Stream(dataset.split("train"), *size, config.augment, config.seed, share)
    validation = Stream(dataset.split("validation"), *size, share=share)
    training.check_fills_a_batch()
    check_can_be_scored(validation)
    return TrainingData(dataset, training, validation, steps_per_epoch(config, training))


def _prepare_once(dataset, config, devices) -> Dataset:
    """Prepares the cache in the first process, while the others wait for it."""
    if not devices.writes:
        devices.wait("data")
    try:
        return prepared(dataset, config)
    finally:
        if devices.writes:
            devices.wait("data")  # after an error too: the other processes then meet the same one


def steps_per_epoch(config: TrainConfig, training: Stream) -> int:
    """Returns the steps per epoch: those of a pass, or fewer, so that they are whole executions.

    Raises:
        ValueError: if an execution has more steps than an epoch.
    """
    steps, at_once = config.steps_per_epoch or training.steps_per_pass, config.steps_per_execution
    if steps < at_once:
        raise ValueError(f"`steps_per_execution` must be at most the {steps} steps of an epoch. Received: {at_once}.")
    return steps - steps % at_once


def check_can_be_scored(validation: Stream) -> None:
    """Raises `ValueError` if no finding has an AUROC on the validation images."""
    labels = validation.labels
    if not ((labels == 1).any(axis=0) & (labels == 0).any(axis=0)).any():
        raise ValueError(
            f"None of the {labels.shape[1]} findings has both positive and negative images among the {len(labels)} of "
            "the validation split, so there is no AUROC to choose the best model by. Use more images, or another "
            "`protocol`."
        )

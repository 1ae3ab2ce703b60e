"""The data of a training run: both streams, and the checks that they can be trained on."""

import dataclasses
import functools
import logging

import numpy as np

from mamsf_keras.config import TrainConfig
from mamsf_keras.data.batches.stream import Stream
from mamsf_keras.data.dataset import Dataset
from mamsf_keras.data.open import prepared
from mamsf_keras.data.splits import split_summary
from mamsf_keras.devices import Devices
from mamsf_keras.settings import require
from mamsf_keras.training.trained_findings import TrainedFindings

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """The data of a training run.

    Attributes:
        dataset: the data set, read from its cache if there is one, with all its findings.
        training: the stream of the train split, with the findings that are trained.
        validation: the stream of the validation split, with the same findings.
        steps_per_epoch: compiled steps per epoch.
    """

    dataset: Dataset
    training: Stream
    validation: Stream
    steps_per_epoch: int

    @property
    def findings(self) -> tuple[str, ...]:
        """The findings that are trained: the outputs of the model."""
        return self.training.dataset.findings

    @functools.cached_property
    def trained_findings(self) -> TrainedFindings:
        """The labels that decide which findings are trained and scored."""
        return TrainedFindings.of(self.dataset)

    @property
    def class_counts(self) -> tuple[np.ndarray, np.ndarray]:
        """Positive and negative training images of each finding, two arrays `(findings,)`; NaN labels are neither."""
        labels = self.training.labels
        return (labels == 1).sum(axis=0), (labels == 0).sum(axis=0)


def load_training_data(dataset: Dataset, config: TrainConfig, devices: Devices) -> TrainingData:
    """Prepares the cache if needed, opens the streams and logs the content of the splits.

    Raises:
        ValueError: if the training images do not fill a batch, or no finding can be trained or scored.
    """
    dataset = _prepare_once(dataset, config, devices)
    used, found = dataset.resolved, TrainedFindings.of(dataset)
    found.check(config)
    for line in (*used.notes, *used.split_notes, split_summary(used.table, used.findings), *found.notes(config)):
        logger.info(line)
    share = (devices.process, devices.processes)
    size = (config.image_size, config.batch_size)
    train, validate = (dataset.split(name).with_findings(found.trained) for name in ("train", "validation"))
    training = Stream(train, *size, config.augment, config.seed, share)
    validation = Stream(validate, *size, share=share)
    training.check_fills_a_batch()
    return TrainingData(dataset, training, validation, steps_per_epoch(config, training))


def _prepare_once(dataset, config, devices) -> Dataset:
    """Prepares the cache in the first process, while the others wait for it."""
    if not devices.writes:
        devices.wait("data")
    try:
        return prepared(dataset, config)
    finally:
        if devices.writes:
            devices.wait("data")  # after an error too, so that the others raise the same one


def steps_per_epoch(config: TrainConfig, training: Stream) -> int:
    """Returns the steps per epoch: one pass or fewer, rounded down to whole executions.

    Raises:
        ValueError: if an execution has more steps than an epoch.
    """
    steps, at_once = config.steps_per_epoch or training.steps_per_pass, config.steps_per_execution
    rule = f"be at most the number of steps per epoch, {steps}"
    require(at_once <= steps, "steps_per_execution", rule, at_once)
    return steps - steps % at_once

"""The data of a run: opened again, compared with those it was trained on, and with the findings of its model."""

import logging
from pathlib import Path

from mamsf_keras.config import TrainConfig
from mamsf_keras.data.dataset import Dataset
from mamsf_keras.data.open import open_dataset, prepared, relocated
from mamsf_keras.findings import find_name
from mamsf_keras.predictors.predictor import Predictor
from mamsf_keras.run_dir import RunDir

logger = logging.getLogger(__name__)


def open_run_data(
    config: TrainConfig, data_dir: str | Path | None = None, allow_missing: int | str | None = None
) -> Dataset:
    """Opens the data of a run and logs the notes about them.

    Args:
        config: the configuration of the run.
        data_dir: the data folder; None uses that of the run.
        allow_missing: how many missing images may be left out, as a number or a percentage; None uses that of the run.
    """
    config = relocated(config, data_dir, allow_missing)
    if config.labels_csv is not None and not Path(config.labels_csv.path).is_file():
        raise FileNotFoundError(
            f"The table {config.labels_csv.path} of the run no longer exists. Prepare a cache from the data at "
            "their new location, and set `data_dir` to it."
        )
    dataset = prepared(open_dataset(config), config).resolved
    for note in (*dataset.notes, *dataset.split_notes):
        logger.info(note)
    return dataset


def with_findings_of(predictor: Predictor, dataset: Dataset) -> Dataset:
    """Returns a data set with the findings of a model. Those that the model does not have are left out and logged."""
    used = dataset.with_findings(predictor.findings)
    left_out = [name for name in dataset.findings if find_name(name, used.findings) is None]
    if left_out:
        logger.info("findings left out because the model does not have them: %s", ", ".join(left_out))
    return used


def trained_fingerprint(run: RunDir) -> dict:
    """Returns the `Dataset.fingerprint` of the data that a run was trained on."""
    return run.read_environment()["data"]

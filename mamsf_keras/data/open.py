"""open_dataset: opens a folder or a table as a `Dataset`."""

import dataclasses
import logging
from pathlib import Path
from typing import TypeVar

from mamsf_keras.config import DataConfig, TrainConfig
from mamsf_keras.data.cache.layout import default_cache_dir, is_finished
from mamsf_keras.data.cache.prepare import prepare
from mamsf_keras.data.dataset import Dataset
from mamsf_keras.data.readers import cache, labels_csv, nih
from mamsf_keras.data.splits import assign_splits

Config = TypeVar("Config", DataConfig, TrainConfig)

READERS = (cache, labels_csv, nih)
"""The readers, in the order in which they are tried. `nih` is last, since it recognizes everything."""

logger = logging.getLogger(__name__)


def open_dataset(config: DataConfig | str | Path) -> Dataset:
    """Reads the tables of a data set and splits it. The images are searched for on first use.

    ```python
    dataset = open_dataset("ChestX-ray14")
    dataset = open_dataset(DataConfig("images", labels_csv="labels.csv", protocol="random-patient"))
    ```

    Args:
        config: data to read. A path is the folder of NIH ChestX-ray14, or of a cache, with the official split.

    Returns:
        A `Dataset`; without splits if `config.protocol` is None.

    Raises:
        ValueError: describes what is wrong with the tables, with counts and the first five names.
        FileNotFoundError: names the folder or table that is missing.
    """
    if not isinstance(config, DataConfig):
        config = DataConfig(str(config))
    reader = next(reader for reader in READERS if reader.recognizes(config))
    dataset = reader.read(config)
    return dataset if config.protocol is None else assign_splits(dataset, config.protocol)


def prepared(dataset: Dataset, config: TrainConfig) -> Dataset:
    """Returns the data set backed by a cache, which is made if needed, unless `config.cache` is none.

    Raises:
        ValueError: if the data set is a cache with a different image size.
        UnreadableImages: if a new cache would lack images.
    """
    dataset.store.check_size(config.image_size)
    if dataset.image_size is not None or config.cache == "none":
        return dataset
    cache_dir = config.cache if config.cache != "auto" else default_cache_dir(config, config.image_size)
    if not is_finished(cache_dir):
        logger.info("decoding all images once into the cache %s", cache_dir)
    return prepare(dataset, cache_dir, config.image_size, allow_rejected=None)


def relocated(config: Config, data_dir: str | Path | None, allow_missing: int | str | None = None) -> Config:
    """Returns the configuration for the same data in another folder, which may be a cache.

    Args:
        config: the configuration to start from.
        data_dir: the other folder; None keeps the folder.
        allow_missing: how many images may be missing, as a number or a percentage; None uses that of `config`.
    """
    if allow_missing is not None:
        config = dataclasses.replace(config, allow_missing=allow_missing)
    if data_dir is None or str(Path(data_dir).resolve()) == config.data_dir:
        return config
    other = dataclasses.replace(config, data_dir=str(data_dir))
    if cache.recognizes(other):
        other = dataclasses.replace(other, labels_csv=None)
    if isinstance(other, TrainConfig) and other.cache != "none":
        other = dataclasses.replace(other, cache="auto")  # a cache folder set by name belongs to the old data folder
    return other

"""Reads a cache that `prepare` made of another data set. Citation and license are those of that data set."""

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from mamsf_keras.config import DataConfig
from mamsf_keras.data.cache.layout import is_finished, read_index, read_meta, tables_are_intact
from mamsf_keras.data.cache.originals import check_originals
from mamsf_keras.data.cache.shard import open_shard
from mamsf_keras.data.dataset import Dataset
from mamsf_keras.data.equal_images import note_equal_images
from mamsf_keras.storage import format_bytes


def recognizes(config: DataConfig) -> bool:
    """Returns True if the data folder is a cache, finished or not."""
    return (Path(config.data_dir) / "plan.json").is_file() or is_finished(config.data_dir)


def read(config: DataConfig) -> Dataset:
    """Reads a cache. The original images are not needed, but those that still exist must be unchanged.

    Raises:
        ValueError: if the cache is unfinished or damaged, is combined with a label table, or is older than a change
            of an original.
    """
    if config.labels_csv is not None:
        raise ValueError(f"{config.data_dir} is a cache and has its own labels. Leave out `labels_csv`.")
    dataset = read_cache(config.data_dir)
    check_originals(config.data_dir)
    return dataset


def read_cache(cache_dir: str | Path) -> Dataset:
    """Reads the finished cache in a folder without checking the originals; see `read`.

    Returns:
        A `Dataset` with every image of the source tables. Its table also has `sha256`, `height` and `width` of the
        original pixels, missing where there is no image.
    """
    cache_dir = Path(cache_dir)
    meta = read_meta(cache_dir)
    if not tables_are_intact(cache_dir, ["index.csv"]):
        raise ValueError(f"{cache_dir / 'index.csv'} is missing or damaged. Run `mamsf-keras prepare` again.")
    table = read_index(cache_dir, meta["findings"])
    size, images = meta["image_size"], meta["images"]
    note = f"{images} images of {size} x {size} pixels, {format_bytes(images * size**2)}, from the cache {cache_dir}"
    if missing := int(table["row"].isna().sum()):
        note += f"; {missing} of {len(table)} images of the tables are missing or rejected and are left out"
    store = CachedImages(cache_dir, size)
    notes = (note, *meta["notes"], *note_equal_images(table))
    return Dataset(table, tuple(meta["findings"]), store, notes=notes, kind=meta.get("kind"))


class CachedImages:
    """The image store of a cache.

    Args:
        cache_dir: folder of the cache.
        image_size: height and width of its images in pixels.
    """

    def __init__(self, cache_dir: str | Path, image_size: int) -> None:
        self.cache_dir = Path(cache_dir)
        self.image_size = image_size

    def resolve_paths(self, table: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
        """Drops the rows without an image, which a note of the data set already counts."""
        return table.dropna(subset="row").astype({"row": int}), ()

    def open(self, table: pd.DataFrame, image_size: int) -> Callable[[int], np.ndarray]:
        """Maps the shards into memory and returns a function that looks up the pixels of a row.

        Raises:
            ValueError: if the images have another size, or a shard is missing or damaged.
        """
        self.check_size(image_size)
        names = table["shard"].unique()
        _allow_open_files(len(names))
        # All shards are opened here, not in the reading threads: NumPy parses headers with `ast`, which is not
        # thread-safe.
        shards = {name: open_shard(self.cache_dir / "shards" / name) for name in names}
        places = list(zip(table["shard"], table["row"], strict=True))

        def read(row: int) -> np.ndarray:
            shard, place = places[row]
            return shards[shard][place]

        return read

    def inspect(self, table: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
        """Returns what the cache records about the originals."""
        return table[["height", "width", "sha256"]], ()

    def check_size(self, image_size: int) -> None:
        """Raises `ValueError` if the images have another size."""
        if image_size != self.image_size:
            raise ValueError(
                f"The cache {self.cache_dir} has images of {self.image_size} pixels. Use `image_size` "
                f"{self.image_size}, or prepare another cache. Received: image_size={image_size}."
            )


def _allow_open_files(count: int):
    """Raises the limit on open files. Each mapped shard keeps one open, and 1,024 is a common limit."""
    if importlib.util.find_spec("resource") is None:  # Windows has no such limit
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 1024
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))

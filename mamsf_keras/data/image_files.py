"""ImageFiles: a data set's original image files, found by their reader when they are first needed."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from mamsf_keras.allowance import allowed_count
from mamsf_keras.images.grey import read_grey, read_size
from mamsf_keras.storage import checksum


class ImageFiles:
    """The image store of original files.

    Args:
        data_dir: the data folder.
        find: function from the image names, a Series, and `data_dir` to the path of each image, a Series with NaN where
            there is none, and notes.
        allow_missing: how many images may be absent, as a number or a share such as "5%".
    """

    image_size: int | None = None

    def __init__(
        self,
        data_dir: str | Path,
        find: Callable[[pd.Series, str | Path], tuple[pd.Series, tuple[str, ...]]],
        allow_missing: int | str = 0,
    ) -> None:
        self.data_dir = data_dir
        self.find = find
        self.allow_missing = allow_missing

    def resolve_paths(self, table: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
        """Adds the column `path` and drops the rows without an image.

        Raises:
            ValueError: names the absent images if there are more than allowed, or all are absent.
        """
        paths, notes = self.find(table["image"], self.data_dir)
        table = table.assign(path=paths)
        absent = table["image"][table["path"].isna()]
        if not len(absent):
            return table, notes
        text = f"{len(absent)} of {len(table)} images of the table are not in {self.data_dir} "
        text += f"(first: {', '.join(absent.head(5))})"
        if len(absent) == len(table):
            raise ValueError(f"{text}: none was found. The paths of the table must start at `data_dir`.")
        allowed = allowed_count("allow_missing", self.allow_missing, len(table))
        if len(absent) > allowed:
            limit = f" `allow_missing` {self.allow_missing} allows {allowed}." if self.allow_missing else ""
            raise ValueError(f"{text}.{limit} Use `allow_missing` {len(absent)} to leave them out.")
        return table.dropna(subset="path"), (*notes, f"{text}: they are left out.")

    def check_size(self, image_size: int) -> None:
        """Accepts every size: images are resized as they are read."""

    def open(self, table: pd.DataFrame, image_size: int) -> Callable[[int], np.ndarray]:
        """Returns a function that decodes and resizes the image of a row."""
        paths = table["path"].tolist()
        return lambda row: read_grey(paths[row], image_size)

    def inspect(self, table: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
        """Reads the size of each image from its header, and the checksum of each file with the length of another."""
        paths, notes = self.find(table["image"], self.data_dir)
        found = paths.dropna()
        sizes, damaged = _read_sizes(found)
        readable = found[sizes["height"].notna()]
        lengths = readable.map(os.path.getsize)
        alike = readable[lengths.duplicated(keep=False)]
        sums = [checksum(path) for path in tqdm(alike, desc="comparing", unit=" files", delay=1)]
        facts = sizes.assign(sha256=pd.Series(sums, index=alike.index, dtype=object)).reindex(table.index)
        counts = f"images found: {len(found)} of {len(table)}; not readable, by their header: {len(damaged)}"
        return facts, (*notes, counts, *damaged[:5])


def _read_sizes(paths: pd.Series) -> tuple[pd.DataFrame, list[str]]:
    """Returns `height` and `width` of each image, NaN where its header cannot be read, and these errors."""
    sizes: list[tuple[float, float]] = []
    errors = []
    for path in tqdm(paths, desc="inspecting", unit=" images", delay=1):
        try:
            sizes.append(read_size(path))
        except ValueError as error:
            sizes.append((np.nan, np.nan))
            errors.append(str(error))
    return pd.DataFrame(sizes, index=paths.index, columns=["height", "width"], dtype=float), errors

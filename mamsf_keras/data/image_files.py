"""ImageFiles: a data set's original image files, found by their reader when they are first needed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from mamsf_keras.allowance import allowed_count
from mamsf_keras.images.gray import read_gray, read_with_note
from mamsf_keras.images.pixel_hash import pixel_hash
from mamsf_keras.parallel import parallel_map

FACTS = ["height", "width", "sha256"]
"""Properties of an image that `inspect` returns."""
CHUNK = 128
"""Number of images that a process inspects at a time."""


class ImageFiles:
    """The image store of original files.

    Args:
        data_dir: the data folder.
        find: function from the image names, a Series, and `data_dir` to the path of each image, a Series with NaN where
            there is none, and notes.
        allow_missing: how many images may be missing, as a number or a percentage such as "5%".
        explain: function from the missing images and `data_dir` to sentences about why they may be missing.
    """

    image_size: int | None = None

    def __init__(
        self,
        data_dir: str | Path,
        find: Callable[[pd.Series, str | Path], tuple[pd.Series, tuple[str, ...]]],
        allow_missing: int | str = 0,
        explain: Callable[[pd.Series, str | Path], tuple[str, ...]] = lambda images, data_dir: (),
    ) -> None:
        self.data_dir = data_dir
        self.find = find
        self.allow_missing = allow_missing
        self.explain = explain

    def resolve_paths(self, table: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
        """Adds the column `path` and drops the rows without an image.

        Raises:
            ValueError: names the missing images if there are more than allowed, or if all are missing.
        """
        paths, notes = self.find(table["image"], self.data_dir)
        table = table.assign(path=paths)
        missing = table["image"][table["path"].isna()]
        if not len(missing):
            return table, notes
        text = f"{len(missing)} of {len(table)} images of the table are not in {self.data_dir} "
        text += f"(first: {', '.join(missing.head(5))})"
        if len(missing) == len(table):
            raise ValueError(" ".join([f"{text}. None was found.", *self.explain(missing, self.data_dir)]))
        allowed = allowed_count("allow_missing", self.allow_missing, len(table))
        if len(missing) > allowed:
            limit = [f"`allow_missing` {self.allow_missing} allows {allowed}."] if self.allow_missing else []
            advice = [f"Use `allow_missing` {len(missing)} to leave them out.", *self.explain(missing, self.data_dir)]
            raise ValueError(" ".join([f"{text}.", *limit, *advice]))
        return table.dropna(subset="path"), (*notes, f"{text}. They are left out.")

    def check_size(self, image_size: int) -> None:
        """Accepts every size: images are resized as they are read."""

    def open(self, table: pd.DataFrame, image_size: int) -> Callable[[int], np.ndarray]:
        """Returns a function that decodes and resizes the image of a row."""
        paths = table["path"].tolist()
        return lambda row: read_gray(paths[row], image_size)

    def inspect(self, table: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
        """Decodes each image once, in worker processes, to find its size and the hash of its pixels."""
        paths, notes = self.find(table["image"], self.data_dir)
        found = paths.dropna()
        facts = pd.DataFrame(_inspect_all(found.tolist()), index=found.index, columns=[*FACTS, "error"], dtype=object)
        damaged = facts["error"].dropna()
        notes += (f"images found: {len(found)} of {len(table)}; not readable: {len(damaged)}", *damaged.head(5))
        if len(found) < len(table):
            notes += self.explain(table["image"][paths.isna()], self.data_dir)
        return facts[FACTS].astype({"height": float, "width": float}).reindex(table.index), notes


def _inspect_all(paths: list[str]) -> list[tuple]:
    chunks = [paths[start : start + CHUNK] for start in range(0, len(paths), CHUNK)]
    with tqdm(total=len(paths), desc="inspecting", unit=" images", delay=1) as bar:
        results = parallel_map(_inspect_chunk, chunks, on_result=lambda rows: bar.update(len(rows)))
    return [row for rows in results for row in rows]


def _inspect_chunk(paths: list[str]) -> list[tuple]:
    """Returns height, width, hash and error of each image, None where they do not apply."""
    rows: list[tuple] = []
    for path in paths:
        try:
            gray, _ = read_with_note(path)
            rows.append((*gray.shape, pixel_hash(gray), None))
        except ValueError as error:
            rows.append((None, None, None, str(error)))
    return rows

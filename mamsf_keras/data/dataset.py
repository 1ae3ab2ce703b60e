"""Dataset: the images of a data set with their labels, splits and notes. Independent of file formats."""

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

from mamsf_keras.config import SPLITS
from mamsf_keras.findings import find_name, with_nearest
from mamsf_keras.settings import require_choice

PLACE_COLUMNS = ("path", "row", "shard", "sha256", "height", "width")
"""Columns that describe where the pixels of an image are, or properties of its file."""


class ImageStore(Protocol):
    """The source of the pixels of a data set: image files, or the shards of a cache. Each reader provides one."""

    @property
    def image_size(self) -> int | None:
        """Height and width of all images in pixels; None for files of different sizes."""

    def check_size(self, image_size: int) -> None:
        """Raises `ValueError` if the images cannot be read at this height and width in pixels."""

    def resolve_paths(self, table: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
        """Returns the rows whose image exists, with the columns that `open` needs, and notes for the user.

        Raises:
            ValueError: if required images are missing.
        """

    def open(self, table: pd.DataFrame, image_size: int) -> Callable[[int], np.ndarray]:
        """Returns a function from a row number of a resolved table to pixels, uint8 `(image_size, image_size)`."""

    def inspect(self, table: pd.DataFrame) -> tuple[pd.DataFrame, tuple[str, ...]]:
        """Returns `height`, `width` and `sha256` (of the pixels) for each row, NaN where unknown, and notes.

        Missing and damaged images do not raise an error.
        """


@dataclasses.dataclass(frozen=True)
class Dataset:
    """The images of a data set. `open_dataset` creates it, and no method changes it.

    ```python
    dataset = open_dataset("ChestX-ray14")
    training = dataset.split("train")
    pixels = training.open_images(224)(0)
    ```

    Attributes:
        table: one row per image of the tables, with the columns `image` (name in the table), `patient`, `follow_up`,
            `age` (years, float, or NaN), `sex`, `view`, `official_list` ("train_val" or "test", empty where
            there is none), one column per finding (1, 0, or NaN where the label is missing) and, if the data set has
            been split, `split` ("train", "validation", "test", or empty where the protocol leaves the image out).
        findings: names of the finding columns, in output order.
        store: where the pixels are.
        protocol: how the images were split; None if they were not.
        notes: notes for the user about the data, one line each.
        split_notes: notes for the user about the splits, one line each.
        sources: the files that the table was read from.
        is_resolved: True if every row has its image, and the columns that `store.open` needs.
        kind: what the data are: "nih" (the layout of NIH ChestX-ray14), "phantoms" or "labels_csv". A cache has the
            kind of the data set that it was made of. None where it is unknown.
    """

    table: pd.DataFrame
    findings: tuple[str, ...]
    store: ImageStore
    protocol: str | None = None
    notes: tuple[str, ...] = ()
    split_notes: tuple[str, ...] = ()
    sources: tuple[Path, ...] = ()
    is_resolved: bool = False
    kind: str | None = None

    @functools.cached_property
    def resolved(self) -> "Dataset":
        """The data set without missing images and without images that the protocol leaves out.

        The files are searched for on first use.

        Raises:
            ValueError: if more images are missing than allowed.
        """
        if self.is_resolved:
            return self
        used = self.table[self.table["split"] != ""] if "split" in self.table else self.table
        table, notes = self.store.resolve_paths(used)
        notes = (*self.notes, *notes)
        return dataclasses.replace(self, table=table.reset_index(drop=True), notes=notes, is_resolved=True)

    @property
    def unsplit(self) -> "Dataset":
        """The same data set before it was split."""
        table = self.table.drop(columns="split", errors="ignore")
        return dataclasses.replace(self, table=table, protocol=None, split_notes=())

    @property
    def image_size(self) -> int | None:
        """Height and width of all images in pixels; None for originals, whose sizes differ."""
        return self.store.image_size

    @property
    def labels(self) -> np.ndarray:
        """The labels, float32 `(images, findings)`: 1, 0, or NaN where missing."""
        return self.table[list(self.findings)].to_numpy(np.float32)

    @property
    def fingerprint(self) -> dict:
        """Fingerprint of the images that are used, their labels and splits: the count `images`, and `sha256`.

        It is the same for the original files and for a cache of them.
        """
        table = self.resolved.table.drop(columns=list(PLACE_COLUMNS), errors="ignore")
        content = table.astype(dict.fromkeys(self.findings, "float32")).to_csv(index=False)
        return {"images": len(table), "sha256": hashlib.sha256(content.encode()).hexdigest()}

    def split(self, name: str) -> "Dataset":
        """Returns the existing images of one split: "train", "validation" or "test".

        Raises:
            ValueError: if `name` is not a split, the split has no images, or the data set has not been split.
        """
        if "split" not in self.table:
            raise ValueError("The data set has no splits. Open it with a `protocol`.")
        require_choice(name, "split", SPLITS)
        dataset = self.resolved
        table = dataset.table[dataset.table["split"] == name].reset_index(drop=True)
        if table.empty:
            raise ValueError(f"The {name} split contains no images.")
        return dataclasses.replace(dataset, table=table)

    def with_findings(self, findings: Iterable[str]) -> "Dataset":
        """Returns the data set with the given findings, in this order and spelling.

        Raises:
            ValueError: if there are no labels for some of the findings; names them.
        """
        spelled = {name: find_name(name, self.findings) for name in findings}
        lacking = [with_nearest(name, self.findings) for name, own in spelled.items() if own is None]
        if lacking:
            raise ValueError(f"The data set has no labels for {', '.join(lacking)}, which the model was trained on.")
        # All labels become float32, as the fingerprint has them: it must not depend on which findings are in use.
        table = self.table.astype(dict.fromkeys(self.findings, "float32"))
        table = table.rename(columns={own: name for name, own in spelled.items()})
        return dataclasses.replace(self, table=table, findings=tuple(spelled))

    def open_images(self, image_size: int) -> Callable[[int], np.ndarray]:
        """Returns a function from a row number to the pixels of the image, uint8 `(image_size, image_size)`.

        Raises:
            ValueError: if the images are in a cache of another size, or the cache is damaged.
        """
        return self.store.open(self.table, image_size)

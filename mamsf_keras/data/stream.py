"""The stream: a batch is a pure function of the step.

    batches  = len(split_rows) // batch
    pass, i  = divmod(step, batches)
    rows     = default_rng([seed, pass]).permutation(split_rows)[i * batch : (i + 1) * batch]
    image    = the row's pixels, augmented by default_rng([seed, pass, row])

So the order is an exact uniform shuffle, the same on every backend and machine, and a run can start at any step. A
pass visits every image at most once, all but the last N mod batch of its order: padding would enter the batch-norm
statistics. NumPy alone; `pipeline.py` feeds the batches to Keras.
"""

import contextlib
import functools

import numpy as np
import pandas as pd

from mamsf_keras.config import CHOICES
from mamsf_keras.data.augment import light
from mamsf_keras.data.cache import allow_open_files, open_shard
from mamsf_keras.data.image import read_grey


class Stream:
    """Reads the images of one split, by row or by step.

    Args:
        table: rows of `read_split`: the finding columns, `image`, `path`, and with a cache the `row` in that file.
        findings: names of the finding columns, in output order.
        image_size: height and width in pixels.
        batch_size: images a batch.
        augment: "none", "light" or "strong".
        seed: of order and augmentation.
        share: `(process, processes)`: which part of each batch this process gives, where several train together.

    Raises:
        ValueError: on an unknown augmentation, or a cache of another image size.
    """

    def __init__(self, table, findings, image_size, batch_size, augment="none", seed=0, share=(0, 1)):
        self.images = table["image"].to_numpy()
        self.paths = table["path"].tolist()
        self.shard_rows = table["row"].tolist() if "row" in table else None
        self.labels = table[list(findings)].to_numpy(np.float32)
        self.image_size = image_size
        self.batch_size = batch_size
        process, processes = share
        self.share_size = batch_size // processes
        self.share = slice(process * self.share_size, (process + 1) * self.share_size)
        if augment not in CHOICES["augment"]:
            raise ValueError(f"`augment` must be one of {', '.join(CHOICES['augment'])}. Received: {augment}.")
        self.augment = augment
        self.seed = seed
        self.error = None
        self.batches = len(self.paths) // batch_size
        if self.shard_rows:
            # Here and not by the threads that read: NumPy parses a header with `ast`, which is not safe in several.
            paths = set(self.paths)
            allow_open_files(len(paths))
            self.shards = {path: open_shard(path, image_size) for path in paths}

    def rows(self, step: int) -> np.ndarray:
        """Returns the rows `(batch,)` of the batch at a step, counted from the start of training."""
        number, i = divmod(step, self.batches)
        return self._order(number)[i * self.batch_size : (i + 1) * self.batch_size]

    @functools.lru_cache(maxsize=2)  # noqa: B019 - a stream lives as long as its run
    def _order(self, number):
        return np.random.default_rng([self.seed, number]).permutation(len(self.paths))

    def batch(self, step: int):
        """Returns the batch at a step, or this process' share of it.

        Returns:
            images uint8 `(batch, height, width, 1)`, labels float32 `(batch, findings)` with 0 where missing, and
            weights float32 `(batch, findings)`: observed x cells / observed cells of the whole batch.
        """
        rows, number = self.rows(int(step)), int(step) // self.batches
        images = np.stack([self.augmented(row, number) for row in rows[self.share]])[..., None]
        labels, weights = labels_and_weights(self.labels[rows])
        return images, labels[self.share], weights[self.share]

    def augmented(self, row: int, number: int) -> np.ndarray:
        """Returns the pixels of a row in a pass, uint8 `(height, width)`, with what `light` adds to them."""
        image = self.read(row)
        if self.augment == "none":
            return image
        return light(image, np.random.default_rng([self.seed, number, row]))

    def read(self, row: int) -> np.ndarray:
        """Returns the pixels of a row, uint8 `(height, width)`, not augmented."""
        try:
            if self.shard_rows is not None:
                return self.shards[self.paths[row]][self.shard_rows[row]]
            return read_grey(self.paths[row], self.image_size)
        except (ValueError, ImportError, OSError) as error:
            self.error = error  # TensorFlow hides it in a long text of its own: see `named_errors`
            raise

    def images_in_order(self, number: int) -> np.ndarray:
        """Returns the images of a batch in row order, not augmented: uint8 `(batch, height, width, 1)`, or the share.

        The last batch is filled up with the last image.
        """
        rows = np.arange(number * self.batch_size, (number + 1) * self.batch_size)[self.share]
        return np.stack([self.read(row) for row in np.minimum(rows, len(self.paths) - 1)])[..., None]


def labels_and_weights(labels: np.ndarray):
    """Turns labels with NaN where missing into labels and weights, both float32 `(batch, findings)`.

    The weights are observed x cells / observed cells, so that the mean over all cells of loss x weight is the mean
    over the observed cells; all are 0 where nothing is observed.
    """
    observed = ~np.isnan(labels)
    weights = observed * np.float32(labels.size / max(observed.sum(), 1))
    return np.where(observed, labels, 0).astype(np.float32), weights.astype(np.float32)


def check_fills_a_batch(stream: Stream):
    """Refuses a stream of fewer images than one batch holds."""
    if not stream.batches:
        raise ValueError(
            f"{len(stream.paths)} training images do not fill one batch of {stream.batch_size}: use a smaller "
            "--batch-size."
        )


@contextlib.contextmanager
def named_errors(*streams: Stream):
    """Raises a stream's own error, which names the image, in place of what a backend makes of it."""
    try:
        yield
    except Exception:  # each backend wraps an error of the input pipeline in another class
        for stream in streams:
            if stream.error is not None:
                raise stream.error from None
        raise


def subset(table: pd.DataFrame, part: str) -> pd.DataFrame:
    """Returns the rows of one part of `read_split`'s table.

    Raises:
        ValueError: if no image of that part is there.
    """
    rows = table[table["part"] == part].reset_index(drop=True)
    if rows.empty:
        raise ValueError(f"The {part} part has no images in this folder.")
    return rows

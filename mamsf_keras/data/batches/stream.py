"""The stream: a batch is a pure function of the step.

    steps_per_pass = len(rows) // batch_size
    pass, i        = divmod(step, steps_per_pass)
    batch rows     = default_rng([seed, pass]).permutation(rows)[i * batch_size : (i + 1) * batch_size]
    image          = the row's pixels, augmented by default_rng([seed, pass, row])

The order is an exact uniform shuffle, the same on every backend and machine, and a run can start at any step. A pass
visits every image at most once and drops the last N mod batch_size images of its order, because padding would distort
the batch-norm statistics. This module uses only NumPy; the other modules of this package feed the batches to Keras.
"""

import contextlib
import functools
from collections.abc import Iterator

import numpy as np

from mamsf_keras.config import AUGMENTATIONS
from mamsf_keras.data.dataset import Dataset
from mamsf_keras.images.augment import light
from mamsf_keras.settings import require_choice


class Stream:
    """Reads the images of one split, by row or by step.

    Args:
        dataset: one split of a data set.
        image_size: height and width in pixels.
        batch_size: images per batch.
        augment: "none", "light" or "strong".
        seed: seed of the order and the augmentation.
        share: `(process, processes)`: the index of this process and the number of processes that share each batch.

    Raises:
        ValueError: if the augmentation is unknown, or the data set is a cache with a different image size.
    """

    def __init__(
        self,
        dataset: Dataset,
        image_size: int,
        batch_size: int,
        augment: str = "none",
        seed: int = 0,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        require_choice(augment, "augment", AUGMENTATIONS)
        self.dataset = dataset
        self.image_size = image_size
        self.batch_size = batch_size
        self.augment = augment
        self.seed = seed
        process, processes = share
        self.share_size = batch_size // processes
        self.share = slice(process * self.share_size, (process + 1) * self.share_size)
        self.images = dataset.table["image"].to_numpy()
        self.labels = dataset.labels
        self.pixels = dataset.open_images(image_size)
        self.steps_per_pass = len(self) // batch_size
        self.error: Exception | None = None

    def __len__(self) -> int:
        return len(self.images)

    def rows(self, step: int) -> np.ndarray:
        """Returns the rows `(batch,)` of the batch at a step, counted from the start of training."""
        pass_index, i = divmod(step, self.steps_per_pass)
        return self._order(pass_index)[i * self.batch_size : (i + 1) * self.batch_size]

    @functools.lru_cache(maxsize=2)  # noqa: B019 - a stream lives as long as its run
    def _order(self, pass_index):
        return np.random.default_rng([self.seed, pass_index]).permutation(len(self))

    def batch(self, step: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns the batch at a step, or this process's share of it.

        Returns:
            images uint8 `(batch, height, width, 1)`, labels float32 `(batch, findings)` with 0 where missing, and
            weights float32 `(batch, findings)`: 0 where the label is missing, and elsewhere the number of all labels
            divided by the number of labels that are not missing, both counted over the whole batch.
        """
        rows, pass_index = self.rows(int(step)), int(step) // self.steps_per_pass
        images = np.stack([self.augmented(row, pass_index) for row in rows[self.share]])[..., None]
        labels, weights = labels_and_weights(self.labels[rows])
        return images, labels[self.share], weights[self.share]

    def augmented(self, row: int, pass_index: int) -> np.ndarray:
        """Returns the pixels of a row in a pass, uint8 `(height, width)`, with light augmentation unless it is off."""
        image = self.read(row)
        if self.augment == "none":
            return image
        return light(image, np.random.default_rng([self.seed, pass_index, row]))

    def read(self, row: int) -> np.ndarray:
        """Returns the pixels of a row, uint8 `(height, width)`, not augmented."""
        try:
            return self.pixels(row)
        except (ValueError, ImportError, OSError) as error:
            self.error = error  # TensorFlow buries it in a long message: see `named_errors`
            raise

    def images_in_order(self, batch_index: int) -> np.ndarray:
        """Returns the images of a batch, or of this process's share, in row order: uint8 `(batch, height, width, 1)`.

        They are not augmented. The last batch is padded with the last image.
        """
        rows = np.arange(batch_index * self.batch_size, (batch_index + 1) * self.batch_size)[self.share]
        return np.stack([self.read(row) for row in np.minimum(rows, len(self) - 1)])[..., None]

    def check_fills_a_batch(self) -> None:
        """Raises `ValueError` if there are fewer images than one batch holds."""
        if not self.steps_per_pass:
            raise ValueError(
                f"`batch_size` must be at most the number of training images, {len(self)}. "
                f"Received: batch_size={self.batch_size}."
            )


def labels_and_weights(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turns labels with NaN where missing into labels and weights, both float32 `(batch, findings)`.

    The weight of a missing label is 0; that of any other label is the number of all labels divided by the number of
    labels that are not missing. The mean of loss x weight over all labels is then the mean loss over the labels that
    are not missing. If all labels are missing, all weights are 0.
    """
    observed = ~np.isnan(labels)
    weights = observed * np.float32(labels.size / max(observed.sum(), 1))
    return np.where(observed, labels, 0).astype(np.float32), weights.astype(np.float32)


@contextlib.contextmanager
def named_errors(*streams: Stream) -> Iterator[None]:
    """Raises the original error of a stream, which names the image, instead of the error that a backend wraps it in."""
    try:
        yield
    except Exception:  # each backend wraps an error of the input pipeline in a different class
        for stream in streams:
            if stream.error is not None:
                raise stream.error from None
        raise

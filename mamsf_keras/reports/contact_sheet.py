"""A contact sheet of images as training sees them."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from mamsf_keras.config import DataConfig
from mamsf_keras.data.batches.stream import Stream
from mamsf_keras.data.open import open_dataset
from mamsf_keras.findings import NO_FINDING
from mamsf_keras.images.augment import strong
from mamsf_keras.storage import atomic_write


def write_contact_sheet(
    data: DataConfig,
    out: str | Path,
    *,
    image_size: int | None = None,
    augment: str = "light",
    images: int = 6,
    versions: int = 4,
    split: str = "train",
    seed: int = 0,
) -> None:
    """Writes a PNG with one row per image: the image, then several augmented versions, titled with its findings.

    Images with findings come first.

    Args:
        data: the data folder and its labels.
        out: the file to write.
        image_size: height and width in pixels; None uses that of a cache, or else 224.
        augment: "none", "light" or "strong" ("strong" needs TensorFlow).
        images: number of rows.
        versions: number of augmented versions of each image.
        split: "train", "validation" or "test".
        seed: random seed for choosing and augmenting the images.
    """
    from matplotlib.figure import Figure

    dataset = open_dataset(data).split(split)
    size = image_size or dataset.image_size or 224
    stream = Stream(dataset, size, batch_size=1, augment=augment, seed=seed)
    rows = _choose(stream, images, seed)
    figure = Figure(figsize=(2.2 * (versions + 1), 2.5 * len(rows)), layout="constrained")
    for row, axes in zip(rows, figure.subplots(len(rows), versions + 1, squeeze=False), strict=True):
        title = f"{stream.images[row]}\n{positive_findings(stream.labels[row], dataset.findings)}"
        axes[0].set_title(title, fontsize=7, loc="left")
        shown = [stream.read(row), *(augmented(stream, row, pass_index) for pass_index in range(versions))]
        for axis, pixels in zip(axes, shown, strict=True):
            axis.imshow(pixels, cmap="gray", vmin=0, vmax=255)
            axis.axis("off")
    with atomic_write(out) as temporary:
        figure.savefig(temporary, dpi=100, format="png")


def _choose(stream, images, seed) -> np.ndarray:
    """Draws rows, those with findings first."""
    order = np.random.default_rng(seed).permutation(len(stream))
    without_finding = ~(stream.labels[order] == 1).any(axis=1)
    return order[np.argsort(without_finding, kind="stable")][:images]


def positive_findings(labels: np.ndarray, findings: Iterable[str]) -> str:
    """Returns the findings of an image; "No Finding" only if all labels are negative and none is missing."""
    names = [name for name, label in zip(findings, labels, strict=True) if label == 1]
    return ", ".join(names) or (NO_FINDING if (labels == 0).all() else "no positive label")


def augmented(stream: Stream, row: int, pass_index: int) -> np.ndarray:
    """Returns the pixels of a row as training sees them in a pass, uint8 `(height, width)`."""
    pixels = stream.augmented(row, pass_index)
    return np.asarray(strong(pixels[None, :, :, None]))[0, :, :, 0] if stream.augment == "strong" else pixels

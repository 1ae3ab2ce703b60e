"""A contact sheet of images as training sees them, for a person to look at."""

import numpy as np

from mamsf_keras.config import DataConfig
from mamsf_keras.data.augment import strong
from mamsf_keras.data.cache import is_cache, read_meta
from mamsf_keras.data.folder import read_split
from mamsf_keras.data.stream import Stream, subset
from mamsf_keras.files import whole_file
from mamsf_keras.findings import NO_FINDING


def preview(data: DataConfig, out, image_size=None, augment="light", images=6, versions=4, part="train", seed=0):
    """Writes a PNG with a row an image: as it is, then several augmented versions, its findings as the title.

    Images with findings come first, so that there is something to see.

    Args:
        data: the data folder and its labels.
        out: the file to write.
        image_size: height and width in pixels; None takes those of a cache, or else 224.
        augment: "none", "light" or "strong" ("strong" needs TensorFlow).
        images: rows.
        versions: augmented versions of each.
        part: "train", "validation" or "test".
        seed: of the choice of images and of the augmentation.
    """
    from matplotlib.figure import Figure

    if image_size is None:
        image_size = read_meta(data.data_dir)["image_size"] if is_cache(data.data_dir) else 224
    studies = read_split(data)
    table = subset(studies.table, part)
    stream = Stream(table, studies.findings, image_size, batch_size=1, augment=augment, seed=seed)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(table))
    rows = order[np.argsort(~(stream.labels[order] == 1).any(axis=1), kind="stable")][:images]
    figure = Figure(figsize=(2.2 * (versions + 1), 2.5 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), versions + 1, squeeze=False)
    for row, line in zip(rows, axes, strict=True):
        image = stream.read(row)
        names = [name for name, label in zip(studies.findings, stream.labels[row], strict=True) if label == 1]
        line[0].set_title(f"{table['image'][row]}\n{', '.join(names) or NO_FINDING}", fontsize=7, loc="left")
        shown = [image, *(augmented(stream, row, number) for number in range(versions))]
        for axis, picture in zip(line, shown, strict=True):
            axis.imshow(picture, cmap="gray", vmin=0, vmax=255)
            axis.axis("off")
    with whole_file(out) as temporary:
        figure.savefig(temporary, dpi=100, format="png")


def augmented(stream: Stream, row: int, number: int) -> np.ndarray:
    """Returns the pixels of a row as training sees them in a pass, uint8 `(height, width)`."""
    image = stream.augmented(row, number)
    return np.asarray(strong(image[None, :, :, None]))[0, :, :, 0] if stream.augment == "strong" else image

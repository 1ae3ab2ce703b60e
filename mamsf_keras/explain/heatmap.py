"""Evidence maps: an exact decomposition of each logit over the cells of the feature maps. It needs no gradient.

With global average pooling and a linear head,

    logit = mean over cells of (W_s . s + W_z . z_ema) + b

so the value of a cell is its contribution, and the mean of the map plus b is the logit. For a network with this head,
the map is the class activation map of B. Zhou et al., CVPR 2016 (arXiv 1512.04150), without any approximation.
"""

import dataclasses

import numpy as np
from keras import ops
from scipy import ndimage

from mamsf_keras.devices import without_gradients
from mamsf_keras.images.gray import resize_map
from mamsf_keras.model.mamsf import MAMSFNet

BOX_LEVEL = 0.5
"""The box around the peak contains the connected pixels with at least this fraction of the peak value.

Negative cells count as 0.
"""


@dataclasses.dataclass(frozen=True)
class Evidence:
    """The evidence maps of a batch.

    Attributes:
        maps: float32 `(batch, h, w, findings)`; positive where a cell is evidence for the finding.
        bias: float32 `(findings,)`.
    """

    maps: np.ndarray
    bias: np.ndarray

    @property
    def logits(self) -> np.ndarray:
        """The logits `(batch, findings)`: the mean of each map plus the bias."""
        return self.maps.mean(axis=(1, 2), dtype=np.float64) + self.bias


@without_gradients()
def evidence_maps(model: MAMSFNet, images: np.ndarray) -> Evidence:
    """Computes the evidence maps of a batch, on every backend.

    ```python
    evidence = evidence_maps(load_model("best.keras"), images)
    evidence.maps[0, :, :, 13]  # evidence for the last finding in the first image
    ```

    Args:
        model: a model with sigmoid or linear output.
        images: uint8 or float `(batch, height, width, 1)` in [0, 255].
    """
    maps = model.feature_maps(ops.convert_to_tensor(images), training=False)
    features = ops.concatenate([ops.cast(part, "float32") for part in maps], axis=-1)
    evidence = ops.matmul(features, model.classifier.kernel)
    return Evidence(ops.convert_to_numpy(evidence), ops.convert_to_numpy(model.classifier.bias))


@dataclasses.dataclass(frozen=True)
class Peak:
    """The place with the most evidence for a finding, in pixels of the image.

    Attributes:
        x: column of the center of the cell with the largest value.
        y: row of this center.
        value: the value of the cell.
        box: left, top, width and height of the region around it; see `BOX_LEVEL`.
    """

    x: float
    y: float
    value: float
    box: tuple[int, int, int, int]


def find_peak(cells: np.ndarray, height: int, width: int) -> Peak | None:
    """Returns the peak of an evidence map, or None if no cell has positive evidence.

    Args:
        cells: one map, `(h, w)`.
        height: height of the image in pixels.
        width: width of the image in pixels.
    """
    row, column = np.unravel_index(np.argmax(cells), cells.shape)
    value = float(cells[row, column])
    if not value > 0:
        return None
    y, x = (row + 0.5) * height / cells.shape[0], (column + 0.5) * width / cells.shape[1]
    pixels = resize_map(np.maximum(cells, 0), height, width)  # negative neighbors would lower the peak, even below 0
    regions, _ = ndimage.label(pixels >= BOX_LEVEL * pixels[int(y), int(x)])
    rows, columns = ndimage.find_objects(regions)[regions[int(y), int(x)] - 1]
    box = (columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)
    return Peak(float(x), float(y), value, box)

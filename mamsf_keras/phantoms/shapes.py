"""Soft shapes and textures from which the phantoms are drawn.

Only operations that IEEE 754 rounds exactly (sums, products, quotients, square roots, comparisons) are used, so that
results are the same on every machine. Vectorized sines and exponentials differ in the last bit.
"""

from functools import lru_cache

import numpy as np


def ramp(distance: np.ndarray, width: float) -> np.ndarray:
    """Returns a linear ramp from 0 to 1, centered at distance 0.

    Args:
        distance: distance in millimeters, positive inside the shape.
        width: width of the ramp in millimeters, above 0.

    Returns:
        Values in [0, 1], with the shape of `distance`.
    """
    t = distance * (1 / width)
    t += 0.5
    return np.clip(t, 0, 1, out=t)


def smooth(t: np.ndarray) -> np.ndarray:
    """Returns t^2 (3 - 2 t), which turns a `ramp` into a smooth step."""
    return t * t * (3 - 2 * t)


def bell(q: np.ndarray) -> np.ndarray:
    """Returns (1 - q)^2 for q below 1 and 0 above: a bell curve with finite support.

    Args:
        q: squared distance from the center in radii, at least 0.

    Returns:
        Values in [0, 1], with the shape of `q`.
    """
    inside = 1 - q
    np.clip(inside, 0, 1, out=inside)
    inside *= inside
    return inside


def bump(t: np.ndarray) -> np.ndarray:
    """Returns the `bell` at the signed distance `t` from the center, in radii."""
    return bell(t * t)


def stripes(position: np.ndarray, spacing: float) -> np.ndarray:
    """Returns the distance to the nearest multiple of `spacing`.

    Args:
        position: position in millimeters.
        spacing: spacing in millimeters, above 0.

    Returns:
        Values in [0, spacing / 2], with the shape of `position`.
    """
    phase = position * (1 / spacing)
    phase -= np.rint(phase)
    np.abs(phase, out=phase)
    phase *= spacing
    return phase


@lru_cache(maxsize=64)
def _cells(size, cells):
    position = np.arange(size, dtype=np.float32) * (cells / size)
    index = np.floor(position).astype(np.intp)
    t = position - index
    return index, (t * t * (3 - 2 * t)).astype(np.float32)


def noise(rng: np.random.Generator, shape: tuple[int, int], cells: int) -> np.ndarray:
    """Draws a smooth random field (value noise).

    Args:
        rng: random generator.
        shape: (height, width) in pixels; height must not exceed width.
        cells: number of grid cells over the width; the grain is `width / cells` pixels.

    Returns:
        float32 array of `shape` in [-1, 1].
    """
    height, width = shape
    grid = rng.random((cells + 1, cells + 1), dtype=np.float32) * 2 - 1
    index, t = _cells(width, cells)
    grid = grid[:, index] + (grid[:, index + 1] - grid[:, index]) * t
    index, t = index[:height], t[:height, None]
    field = (grid[1:] - grid[:-1])[index]
    field *= t
    field += grid[index]
    return field


def bounding_box(visible: np.ndarray) -> tuple[int, int, int, int] | None:
    """Returns the bounding box of the true pixels.

    Args:
        visible: bool array of shape (height, width).

    Returns:
        (x, y, width, height) in integer pixels, or None if no pixel is true.
    """
    rows, columns = np.flatnonzero(visible.any(1)), np.flatnonzero(visible.any(0))
    if not len(rows):
        return None
    return (
        int(columns[0]),
        int(rows[0]),
        int(columns[-1] - columns[0] + 1),
        int(rows[-1] - rows[0] + 1),
    )

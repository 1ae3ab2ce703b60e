"""Soft shapes and textures that the phantoms are drawn from.

Only operations that IEEE 754 rounds exactly (sums, products, quotients, square roots, comparisons) are used,
so that every machine draws the same values: vectorised sines and exponentials differ in their last bit.
"""

from functools import lru_cache

import numpy as np


def ramp(distance, width):
    """Returns a smooth step from 0 to 1 around distance 0.

    Args:
        distance: Float array, millimetres, positive inside the shape.
        width: Float above 0, millimetres from the first change to the last.

    Returns:
        An array of `distance`'s shape in [0, 1].
    """
    t = np.clip(distance * (1 / width) + 0.5, 0, 1)
    return t * t * (3 - 2 * t)


def bump(t):
    """Returns (1 - t^2)^2 within [-1, 1] and 0 outside: a bell of finite reach.

    Args:
        t: Float array, distance from the centre in radii.

    Returns:
        An array of `t`'s shape in [0, 1].
    """
    inside = np.maximum(1 - t * t, 0)
    return inside * inside


def stripes(position, spacing):
    """Returns the distance to the nearest multiple of `spacing`.

    Args:
        position: Float array, millimetres.
        spacing: Float above 0, millimetres.

    Returns:
        An array of `position`'s shape in [0, spacing / 2].
    """
    phase = position * (1 / spacing)
    return np.abs(phase - np.floor(phase + 0.5)) * spacing


@lru_cache(maxsize=64)
def _cells(size, cells):
    position = np.arange(size, dtype=np.float32) * (cells / size)
    index = np.floor(position).astype(np.intp)
    t = position - index
    return index, (t * t * (3 - 2 * t)).astype(np.float32)


def noise(rng, size, cells):
    """Draws a smooth random field (value noise).

    Args:
        rng: NumPy Generator.
        size: Int, pixels a side.
        cells: Int, random values a side less one; the grain is `size / cells` pixels.

    Returns:
        A float32 array of shape (size, size) in [-1, 1].
    """
    grid = rng.random((cells + 1, cells + 1), dtype=np.float32) * 2 - 1
    index, t = _cells(size, cells)
    grid = grid[:, index] + (grid[:, index + 1] - grid[:, index]) * t
    step = grid[1:] - grid[:-1]
    return grid[index] + step[index] * t[:, None]


def bounds(visible):
    """Returns the smallest box around the true pixels.

    Args:
        visible: Boolean array of shape (height, width).

    Returns:
        (x, y, width, height) in whole pixels, or None where nothing is true.
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

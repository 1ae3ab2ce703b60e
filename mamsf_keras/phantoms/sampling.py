"""Random sampling shared by several findings: side, severity and position in a lung."""

import numpy as np

from mamsf_keras.phantoms.geometry import Chest


def random_side(rng: np.random.Generator) -> int:
    """Draws a side: -1 for the left of the image, 1 for the right."""
    return 2 * int(rng.integers(2)) - 1


def random_severity(rng: np.random.Generator) -> float:
    """Draws a severity in [0.4, 1]; mild ones are less frequent."""
    mild = rng.random()
    return 1 - 0.6 * mild * mild


def random_place(chest: Chest, rng: np.random.Generator, margin: float, low: float = 0.0) -> tuple[float, float, int]:
    """Draws a position in a lung.

    Args:
        chest: chest that contains the lung.
        rng: random generator.
        margin: distance to keep from the wall, the apex and the diaphragm, in millimeters.
        low: fraction of the lung height to exclude, from the top, in [0, 1).

    Returns:
        (x, y, side): coordinates in millimeters, and -1 or 1.
    """
    side, body = random_side(rng), chest.body
    top, bottom = body.top + margin + 14, body.domes[side > 0] - margin
    y = bottom - max(bottom - top, 0) * (1 - float(low)) * rng.random()
    inner, outer = 26 + 0.5 * margin, float(chest.wall_at(y)) - margin
    return side * (inner + max(outer - inner, 0) * rng.random()), y, side

"""Random draws that several findings share: a side, a severity, a place in a lung."""

import numpy as np

from mamsf_keras.phantoms.geometry import Chest


def random_side(rng: np.random.Generator) -> int:
    """Draws a side: -1 for the left of the image, 1 for the right."""
    return 2 * int(rng.integers(2)) - 1


def random_severity(rng: np.random.Generator) -> float:
    """Draws a severity in [0.4, 1], mild ones less often."""
    mild = rng.random()
    return 1 - 0.6 * mild * mild


def random_place(chest: Chest, rng: np.random.Generator, margin: float, low: float = 0.0) -> tuple[float, float, int]:
    """Draws a place in a lung.

    Args:
        chest: the chest of the lung.
        rng: generator that the side and the place are drawn from.
        margin: millimetres that stay free to the wall, the apex and the diaphragm.
        low: in [0, 1); the share of the lung's height, from above, that is left out.

    Returns:
        (x, y, side), millimetres and -1 or 1.
    """
    side, body = random_side(rng), chest.body
    top, bottom = body.top + margin + 14, body.domes[side > 0] - margin
    y = bottom - max(bottom - top, 0) * (1 - float(low)) * rng.random()
    inner, outer = 26 + 0.5 * margin, float(chest.wall_at(y)) - margin
    return side * (inner + max(outer - inner, 0) * rng.random()), y, side

"""Pleural findings: fluid, air and scars between the lung and the chest wall.

The functions have the same arguments and return values as those in `airspace`.
"""

import numpy as np

from mamsf_keras.phantoms.geometry import Chest
from mamsf_keras.phantoms.sampling import random_severity, random_side
from mamsf_keras.phantoms.shapes import bump, ramp


def sides(rng: np.random.Generator, both: float) -> tuple[int, ...]:
    """Draws one random side, or both sides with probability `both`."""
    first = random_side(rng)
    return (first, -first) if rng.random() < both else (first,)


def effusion(chest: Chest, vessels: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Draws fluid in the costophrenic angle with a meniscus that rises along the wall."""
    fluids = []
    for side in sides(rng, 0.3):
        height, slope = 45 + 95 * random_severity(rng), rng.uniform(0.55, 0.8)
        t = chest.across * (1 / chest.body.half_width)
        t *= t
        level = chest.base + 4 - height * (1 - slope) - height * slope * t * t
        fluid = ramp(chest.y - level, 9) * chest.half(side)
        fluids.append(fluid * (0.4 * chest.air + 0.05 * chest.lungs))
    return fluids


def pneumothorax(chest: Chest, vessels: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Draws a lucent rim without vessels, widest at the apex, inside a thin pleural line."""
    side, gap = random_side(rng), 20 + 54 * random_severity(rng)
    fall = (chest.y - chest.body.top) * (1 / (chest.base - chest.body.top))
    rim = gap * (1.15 - rng.uniform(0.5, 1.1) * fall)
    inside = ramp(chest.wall - rim - chest.across, 2.6) * ramp(chest.y - chest.roof - gap, 2.6)
    rest = (1 - inside) * chest.half(side)
    line = 4 * inside * rest
    dark = rng.uniform(0.18, 0.26)
    return [(rng.uniform(0.08, 0.16) * line - dark * rest) * chest.air - vessels * rest]


def pleural_thickening(chest: Chest, vessels: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Draws a bright layer along the wall, or a cap over the apex."""
    peels = []
    for side in sides(rng, 0.25):
        grade = random_severity(rng)
        rough = 0.75 + 0.5 * chest.noise(rng, 22)
        thick = (18 + 20 * grade) * rough
        if rng.random() < 0.3:
            peel = ramp(chest.roof + 1.3 * thick + 4 - chest.y, 3)
        else:
            middle, half = rng.uniform(-50, 45), rng.uniform(65, 110)
            peel = ramp(chest.across - chest.wall + thick * bump((chest.y - middle) * (1 / half)) - 1, 3)
        peels.append((0.4 + 0.25 * grade) * peel * chest.half(side) * chest.air)
    return [np.maximum(peels[0], peels[-1])]

"""Round findings: nodule, mass, hernia.

The functions have the same arguments and return values as those in `airspace`.
"""

import numpy as np

from mamsf_keras.phantoms.geometry import Chest
from mamsf_keras.phantoms.sampling import random_place, random_severity
from mamsf_keras.phantoms.shapes import ramp


def ball(chest: Chest, x: float, y: float, radius: float, rough: float | np.ndarray = 0.0) -> np.ndarray:
    """Returns a round shadow in [0, 1] that is denser in the middle; the field `rough` makes its edge irregular."""
    dx, dy = chest.x - x, chest.y - y
    inside = (radius + rough) - (dx * dx + dy * dy) * (1 / radius)
    return ramp(inside, 4.5) * np.clip(0.7 + inside * (0.3 / radius), 0, 1)


def nodule(chest: Chest, vessels: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Draws one to four round shadows, 16 to 25 mm in diameter."""
    count = max(int(rng.integers(-2, 5)), 1)
    strength = 0.45 + 0.35 * random_severity(rng)
    shadows = []
    for _ in range(count):
        radius = rng.uniform(6.5, 9) + 3.5 * random_severity(rng)
        x, y, _ = random_place(chest, rng, radius + 3)
        shadows.append(strength * rng.uniform(0.85, 1.15) * ball(chest, x, y, radius))
    return shadows


def mass(chest: Chest, vessels: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Draws one lobulated shadow, nominally 50 to 90 mm in diameter."""
    radius = rng.uniform(16, 23) + 22 * random_severity(rng)
    x, y, _ = random_place(chest, rng, 0.8 * radius)
    lobes = 0.16 * radius * chest.noise(rng, 0.9 * radius)
    return [(0.28 + 0.3 * random_severity(rng)) * ball(chest, x, y, radius, lobes)]


def hernia(chest: Chest, vessels: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Draws a hiatal hernia behind the heart: a round opacity with an air bubble above a fluid level."""
    radius = 32 + 22 * random_severity(rng)
    x, y = rng.uniform(-8, 30), chest.body.domes[1] - rng.uniform(0.35, 0.8) * radius
    sac = ramp(radius - ((chest.x - x) ** 2 + (chest.y - y) ** 2) * (1 / radius), 5)
    level = y - rng.uniform(-0.2, 0.35) * radius
    inner = 0.86 * radius
    bubble = ramp(inner - ((chest.x - x) ** 2 + (chest.y - y) ** 2) * (1 / inner), 5) * ramp(level - chest.y, 2.5)
    return [sac * (0.05 + rng.uniform(0.28, 0.38) * chest.air) - rng.uniform(0.2, 0.35) * bubble]

"""Findings inside the lungs: haze, patches, lobes, plates and lines.

The function of a finding takes the thorax, the brightness of its vessels and a random generator. It returns the change
in brightness: one float32 array of shape (rows, size) per lesion.
"""

import numpy as np

from mamsf_keras.phantoms.geometry import Chest
from mamsf_keras.phantoms.sampling import random_place, random_severity, random_side
from mamsf_keras.phantoms.shapes import bell, bump, ramp


def patch(
    chest: Chest, rng: np.random.Generator, radii: tuple[float, float], grain: float, low: float = 0.0
) -> np.ndarray:
    """Returns an ill-defined patch in one lung, in [0, 1.5], with clumps of `grain` millimeters."""
    x, y, side = random_place(chest, rng, 0.5 * min(radii), low)
    dx, dy = (chest.x - x) * (1 / radii[0]), (chest.y - y) * (1 / radii[1])
    lean = rng.uniform(-0.6, 0.6)
    dx = dx + lean * dy
    q = dx * dx + dy * dy + 0.45 * chest.noise(rng, 26) + 0.15
    clumps = 0.85 + 0.65 * chest.noise(rng, grain)
    return bell(np.maximum(q, 0, out=q)) * clumps * chest.lungs * chest.half(side)


def infiltration(chest: Chest, vessels: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Draws one to three faint, hazy, ill-defined patches anywhere in the lungs."""
    strength = 0.26 + 0.34 * random_severity(rng)
    count = 1 + int(rng.integers(3))
    return [
        strength * patch(chest, rng, (rng.uniform(28, 58), rng.uniform(28, 58)), 13) * rng.uniform(0.8, 1.1)
        for _ in range(count)
    ]


def pneumonia(chest: Chest, vessels: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Draws one dense, clumpy patch in one lung, more often in its lower part."""
    radii = rng.uniform(32, 58), rng.uniform(26, 46)
    strength = 0.36 + 0.4 * random_severity(rng)
    return [strength * patch(chest, rng, radii, 7, low=0.25 * rng.integers(3))]


def consolidation(chest: Chest, vessels: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Draws a dense lobe that ends sharply at its fissure, with air bronchograms."""
    side, upper = random_side(rng), rng.random() < 0.4
    body = chest.body
    fissure = body.top + rng.uniform(95, 120)
    below = chest.y - fissure - rng.uniform(-0.25, 0.25) * chest.across
    reach = rng.uniform(45, 100)
    inside = np.clip(-below if upper else below, -3, None)
    lobe = ramp(inside, 4) * ramp(reach - inside, 0.7 * reach) * chest.half(side) * chest.lungs
    lobe *= ramp(chest.across - rng.uniform(-20, 45), 40)
    strength = 0.26 + 0.35 * random_severity(rng)
    lobe *= strength * (0.9 + 0.25 * chest.noise(rng, 16))
    return [lobe - lobe * np.clip(vessels * 10, 0, 1.2)]


def edema(chest: Chest, vessels: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Draws bat-wing haze around both hila, and short lines at the lower chest walls."""
    dx = (chest.across - rng.uniform(34, 46)) * (1 / rng.uniform(56, 78))
    dy = (chest.y - chest.body.top - rng.uniform(104, 122)) * (1 / rng.uniform(68, 95))
    strength = 0.12 + 0.24 * random_severity(rng)
    wings = bell(dx * dx + dy * dy) * (1 + 0.4 * chest.noise(rng, 14))
    wings *= strength * (1 + rng.uniform(-0.25, 0.25) * (2 * chest.left - 1))
    rows = ramp(1.1 - np.abs((chest.y - chest.body.rib_phase) % np.float32(8.5) - 4), 1.6)
    lines = rows * ramp(chest.across - chest.wall + 24, 6) * bump((chest.y - chest.base + 48) * (1 / 34))
    return [(wings + 0.4 * strength * lines) * chest.lungs]


def fibrosis(chest: Chest, vessels: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Draws a network of fine lines at both bases, denser toward the chest walls."""
    wide, middle, narrow = (chest.noise(rng, grain) for grain in (15, 10.5, 7))
    net = ramp(0.1 - np.abs(wide + middle), 0.16)
    net += 0.7 * ramp(0.1 - np.abs(middle - narrow), 0.18)
    where = ramp(chest.y - chest.base + rng.uniform(75, 130), 70) * ramp(chest.across - 48, 60)
    strength = 0.22 + 0.26 * random_severity(rng)
    return [strength * (net + 0.25) * where * chest.lungs]


def atelectasis(chest: Chest, vessels: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """Draws volume loss: a raised hemidiaphragm below bands or a basal wedge."""
    side, grade = random_side(rng), random_severity(rng)
    body = chest.body
    raised = rng.uniform(5, 9) + 20 * grade
    t = chest.across * (1 / body.half_width) - 0.48
    loss = 0.36 * ramp(chest.y - chest.floor + raised * bump(t * (1 / 0.62)), 4) * chest.air
    draw = wedge if rng.random() < 0.35 else bands
    return [np.maximum(loss, draw(chest, rng, body.domes[side > 0] - raised, grade)) * chest.half(side)]


def bands(chest: Chest, rng: np.random.Generator, floor: float, grade: float) -> np.ndarray:
    """Returns one or two plates of airless lung above the diaphragm, which is at height `floor`."""
    plates = 0
    for _ in range(1 + int(rng.integers(2))):
        middle, y = rng.uniform(0.45, 0.7) * chest.body.half_width, floor - rng.uniform(6, 42)
        slope, half, thick = rng.uniform(-0.35, 0.35), rng.uniform(28, 52), rng.uniform(2, 3.5) + 3 * grade
        plate = ramp(thick - np.abs(chest.y - y - slope * (chest.across - middle)), 2.5)
        plates = np.maximum(plates, plate * bump((chest.across - middle) * (1 / half)))
    return (0.34 + 0.26 * grade) * plates * chest.lungs


def wedge(chest: Chest, rng: np.random.Generator, floor: float, grade: float) -> np.ndarray:
    """Returns a collapsed lower lobe: a triangle between the spine and the diaphragm."""
    height, width = rng.uniform(50, 85), rng.uniform(45, 75)
    edge = width * (chest.y - floor + height) * (1 / height) - chest.across
    inner = ramp(chest.across - 14, 26)
    return (0.32 + 0.26 * grade) * ramp(edge, 7) * ramp(chest.y - floor + height, 12) * inner * chest.lungs

"""The normal chest: tissue, bones, vessels, and normal structures that resemble findings.

Brightness is additive, in units in which air outside the body is near 0 and the heart is near 1.
"""

import numpy as np

from mamsf_keras.phantoms.geometry import Chest
from mamsf_keras.phantoms.sampling import random_side
from mamsf_keras.phantoms.shapes import bell, bump, ramp, smooth, stripes


def paint(chest: Chest, texture: np.random.Generator, devices: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Paints a chest without findings.

    Args:
        chest: the chest, with all rows of the radiograph.
        texture: random generator for vessels and tissue.
        devices: random generator for tubes, leads, nipples and stomach air.

    Returns:
        The brightness, float32 of shape (size, size), and the contribution of the vessels on `chest.thorax`.
    """
    tissue = wall(chest, texture)
    thorax = chest.thorax
    inside = tissue[thorax.span]
    mottle = thorax.noise(texture, 9)
    inside -= (0.45 * chest.body.lucency + 0.028 * mottle) * thorax.air
    inside += 0.11 * thorax.cover
    vessels = vessel_tree(thorax, texture)
    vessels *= 0.12 * chest.body.vessels
    vessels *= thorax.air + 0.15 * thorax.cover
    inside += vessels
    inside += ribs(thorax)
    clavicles(thorax, inside)
    hila(thorax, inside, mottle, texture)
    confounders(chest, tissue, devices)
    if chest.body.portable:
        bedside(chest, tissue, devices)
    return tissue, vessels


def wall(chest: Chest, rng: np.random.Generator) -> np.ndarray:
    """Returns the body without the contents of the rib cage: wall, abdomen, spine, trachea, breasts."""
    body = chest.body
    depth = chest.across * (1 / (body.half_width + 70))
    depth *= depth
    tissue = 0.04 * chest.noise(rng, 60)
    tissue -= 0.12 * depth
    tissue += 0.76
    rows = chest.rows(min(body.domes) - 45, 999)
    tissue[rows] += 0.16 * ramp(chest.y[rows] - chest.floor[rows], 70)
    tissue *= outline(chest)
    columns = chest.columns(22)
    disk = stripes(chest.y - body.rib_phase, 0.95 * body.rib_spacing)
    tissue[:, columns] += ramp(17 - chest.across[:, columns], 5) * (0.03 + 0.05 * ramp(disk - 3.5, 3))
    rows = chest.rows(-999, body.top + 90)
    pipe = ramp(8 - np.abs(chest.x[rows, columns] - 2), 5) * (0.09 * ramp(body.top + 82 - chest.y[rows], 16))
    tissue[rows, columns] -= pipe
    if body.female:
        breasts(chest, tissue, rng)
    return tissue


def outline(chest: Chest) -> np.ndarray:
    """Returns a mask of the neck, shoulders and trunk."""
    y, body = chest.y, chest.body
    shoulders = smooth(ramp(y - body.top + 22, 70))
    waist = smooth(ramp(y - body.top - 105, 110))
    trunk = body.half_width + body.margin
    return ramp(58 + shoulders * 190 + waist * (trunk - 248) - chest.across, 7)


def breasts(chest: Chest, tissue: np.ndarray, rng: np.random.Generator) -> None:
    """Adds two disks of soft tissue with a soft lower edge."""
    middle, height = 0.6 * chest.body.half_width, rng.uniform(20, 60)
    radius, weight = rng.uniform(52, 84), rng.uniform(0.03, 0.13)
    rows = chest.rows(height - 65, height + radius + 8)
    dx, dy = chest.across[rows] - middle, chest.y[rows] - height
    inside = radius - (dx * dx + dy * dy) * (1 / radius)
    tissue[rows] += ramp(inside, 16) * (weight * ramp(dy + 20, 90))


def ribs(chest: Chest) -> np.ndarray:
    """Returns the ribs: the full posterior ribs, and the anterior ribs where they are not cartilage."""
    body, across = chest.body, chest.across
    part = across * (1 / body.half_width)
    fall = part * (part - 0.15)
    back = 4.2 - stripes(chest.y - body.rib_phase - body.rib_slope * fall, body.rib_spacing)
    bones = 0.055 * ramp(back, 2)
    bones += 0.035 * ramp(1.5 - np.abs(back - 1.2), 2)
    rise = (1 - part) * (75 - 75 * part)
    front = 4.6 - stripes(chest.y - 9 - body.rib_phase - rise + 20 * part, body.rib_spacing + 3)
    bones += ramp(front, 2.5) * (0.05 * ramp(part - 0.42, 0.3))
    bones *= ramp(chest.wall + 5 - across, 5) * ramp(chest.base - 20 - chest.y, 60)
    bones *= ramp(chest.y - chest.roof + 12, 12)
    return bones


def clavicles(chest: Chest, tissue: np.ndarray) -> None:
    """Adds the clavicles and the edges of the shoulder blades."""
    top, half_width = chest.body.top, chest.body.half_width
    rows = chest.rows(top - 5, top + 60)
    across, y = chest.across[rows], chest.y[rows]
    bow = across - 75
    bone = 5.5 - np.abs(y - (top + 30) + 0.28 * bow - 0.0026 * bow * bow + 12)
    clavicle = 0.07 * ramp(bone, 3) + 0.04 * ramp(2 - np.abs(bone - 1), 2)
    tissue[rows] += clavicle * ramp(half_width * 0.54 + 4 - np.abs(across - half_width * 0.54 - 20), 5)
    rows = chest.rows(top + 10, top + 145)
    across, y = chest.across[rows], chest.y[rows]
    blade = ramp(across - 0.82 * half_width + 0.22 * (y - top - 90), 4)
    tissue[rows] += blade * (0.05 * ramp(top + 125 - y, 40) * ramp(y - top - 10, 20))


def vessel_tree(chest: Chest, rng: np.random.Generator) -> np.ndarray:
    """Returns vessels in [0, 1] that fan out from the hila and become thinner toward the wall."""
    dx, dy = chest.across - 20, chest.y - (chest.body.top + 100)
    far = np.abs(dx) + np.abs(dy) + 1
    warp = chest.noise(rng, 34)
    sector = dy / far + 0.19 * warp
    sector += 0.37 * chest.left
    coarse = stripes(sector, 0.19) * far
    fine = stripes(sector - 0.1 * warp, 0.085) * far
    thick = np.clip(2.8 - far * (1 / 55), 0.2, 2.6)
    tree = 0.6 * ramp(0.55 * thick - fine, 1.6) * ramp(far - 30, 30)
    tree += ramp(thick - coarse, 2)
    return tree * np.clip(1.15 - far * (1 / 150), 0, 1)


def hila(chest: Chest, tissue: np.ndarray, mottle: np.ndarray, rng: np.random.Generator) -> None:
    """Adds the bright clusters of vessels next to the mediastinum."""
    middle, wide, high = (chest.body.top + rng.uniform(92, 104), rng.uniform(18, 26), rng.uniform(26, 40))
    rows = chest.rows(middle - high, middle + high)
    knot = bump((chest.across[rows] - 27) * (1 / wide)) * bump((chest.y[rows] - middle) * (1 / high))
    lumps = 0.13 + 0.09 * mottle[rows]
    tissue[rows] += chest.body.vessels * knot * lumps * chest.air[rows]


def stamp(
    chest: Chest, tissue: np.ndarray, x: float, y: float, radius: float, weight: float, soft: float = 2.0
) -> None:
    """Adds `weight` on a disk; center and radius are in millimeters."""
    rows = chest.rows(y - radius - soft, y + radius + soft)
    dx, dy = chest.x[rows] - x, chest.y[rows] - y
    tissue[rows] += weight * ramp(radius - (dx * dx + dy * dy) * (1 / radius), 2 * soft)


def confounders(chest: Chest, tissue: np.ndarray, rng: np.random.Generator) -> None:
    """Adds normal structures that resemble findings: nipples, scars, stomach air, a marker."""
    body = chest.body
    x, y, wide = rng.uniform(22, 62), body.domes[1] + rng.uniform(16, 34), rng.uniform(12, 30)
    high = rng.uniform(7, 16)
    rows = chest.rows(y - high, y + high)
    dx, dy = (chest.x[rows] - x) * (1 / wide), (chest.y[rows] - y) * (1 / high)
    tissue[rows] -= rng.uniform(0, 0.22) * bell(dx * dx + dy * dy)
    if rng.random() < 0.25:
        x, y, weight = rng.uniform(0.5, 0.68) * body.half_width, rng.uniform(15, 45), rng.uniform(0.03, 0.09)
        for side in (-1, 1):
            stamp(chest, tissue, side * x, y + rng.uniform(-5, 5), rng.uniform(3.5, 5.5), weight)
    for _ in range(int(rng.integers(0, 3))):
        x, y = rng.uniform(-0.8, 0.8) * body.half_width, rng.uniform(body.top + 20, 60)
        stamp(chest, tissue, x, y, rng.uniform(1.2, 2.6), rng.uniform(0.03, 0.12), 1.0)
    if rng.random() < 0.3:
        scar(chest, tissue, rng)
    marker(chest, tissue, rng)


def scar(chest: Chest, tissue: np.ndarray, rng: np.random.Generator) -> None:
    """Adds a short, thin line in a lung."""
    chest, tissue = chest.thorax, tissue[chest.thorax.span]
    x, y = random_side(rng) * rng.uniform(0.35, 0.75) * chest.body.half_width, rng.uniform(-90, 60)
    slope, half = rng.uniform(-0.5, 0.5), rng.uniform(8, 18)
    line = ramp(1.3 - np.abs(chest.y - y - slope * (chest.x - x)), 1.8)
    tissue += rng.uniform(0.04, 0.1) * line * bump((chest.x - x) * (1 / half))


def marker(chest: Chest, tissue: np.ndarray, rng: np.random.Generator) -> None:
    """Adds the letter L in the upper corner on the left side of the patient."""
    size, pixel = chest.size, chest.pixel
    left, top = int(size * rng.uniform(0.86, 0.93)), int(size * rng.uniform(0.02, 0.1))
    height, stroke = max(int(13 / pixel), 3), max(int(2.6 / pixel), 1)
    tissue[top : top + height, left : left + stroke] = 1.3
    tissue[top + height - stroke : top + height, left : left + max(int(8 / pixel), 2)] = 1.3


def bedside(chest: Chest, tissue: np.ndarray, rng: np.random.Generator) -> None:
    """Adds leads, a central line and a tube to an AP film, each with some probability."""
    top = chest.body.top
    for _ in range(int(rng.integers(0, 4))):
        x, y, bow, slope = rng.uniform(-140, 140), rng.uniform(-90, 60), rng.uniform(-4e-3, 4e-3), rng.uniform(-1, 1)
        away = chest.x - x
        lead = ramp(1 - np.abs(chest.y - y - slope * away - bow * away * away), 1.5) * ramp(90 - np.abs(away), 4)
        tissue += 0.12 * lead
        stamp(chest, tissue, x, y, 4, 0.3, 1.0)
    if rng.random() < 0.35:
        end, start = rng.uniform(-12, -2), rng.uniform(-70, -40)
        depth = (chest.y - top) * (1 / 90)
        line = ramp(1.1 - np.abs(chest.x - start - (end - start) * np.clip(depth * (2 - depth), 0, 1)), 1.5)
        tissue += 0.16 * line * ramp(top + 95 - chest.y, 4) * ramp(chest.y - top + 8, 4)
    if rng.random() < 0.3:
        tube = ramp(1.6 - np.abs(np.abs(chest.x - 2) - 3), 1.5) * ramp(top + rng.uniform(40, 70) - chest.y, 3)
        tissue += 0.14 * tube

"""The normal chest: tissue, bones, vessels, and what lies on normal films and looks like a finding.

Brightness is added up in units in which air outside the body is near 0 and the heart near 1.
"""

import numpy as np

from mamsf_keras.data.phantom.shapes import bump, noise, ramp, stripes


def paint(chest, texture, devices):
    """Paints a chest without findings.

    Args:
        chest: A `Chest`.
        texture: NumPy Generator for vessels and tissue.
        devices: NumPy Generator for tubes, leads, nipples and the stomach's air.

    Returns:
        The brightness, float32 of shape (size, size), and the vessels' share of it.
    """
    tissue = soft_tissue(chest, texture)
    vessels = 0.15 * chest.body.vessels * vessel_tree(chest, texture) * chest.lungs
    tissue += vessels + bones(chest)
    tissue += hila(chest, texture)
    confounders(chest, tissue, devices)
    if chest.body.portable:
        bedside(chest, tissue, devices)
    return tissue, vessels


def soft_tissue(chest, rng):
    """Returns the body with lungs, mediastinum, heart and diaphragm."""
    body = chest.body
    depth = chest.across * (1 / (body.half_width + 70))
    lump = noise(rng, chest.size, chest.cells(60))
    tissue = (0.76 - 0.12 * depth * depth + 0.04 * lump) * outline(chest)
    lung = 0.42 * body.lucency + 0.025 * noise(rng, chest.size, chest.cells(9)) + 0.03 * lump
    tissue -= lung * chest.air
    belly = ramp(chest.floor - chest.y, 70)
    tissue += (0.16 * (1 - belly)) * (tissue > 0.3)
    tissue += 0.1 * np.maximum(chest.mediastinum, chest.heart)
    trachea = ramp(8 - np.abs(chest.x - 2), 5) * ramp(body.top + 82 - chest.y, 16)
    tissue -= 0.09 * trachea
    if body.female:
        tissue += breasts(chest, rng)
    return tissue


def outline(chest):
    """Returns the mask of neck, shoulders and trunk."""
    y, body = chest.y, chest.body
    shoulders = ramp(y - body.top + 26, 52)
    waist = ramp(y - body.top - 105, 80)
    trunk = body.half_width + body.margin
    return ramp(58 + shoulders * 190 + waist * (trunk - 248) - chest.across, 7)


def breasts(chest, rng):
    """Returns two discs of soft tissue that end in a soft lower edge."""
    middle, height = 0.6 * chest.body.half_width, rng.uniform(20, 60)
    radius, weight = rng.uniform(52, 84), rng.uniform(0.03, 0.13)
    dx, dy = chest.across - middle, chest.y - height
    reach = (dx * dx + dy * dy) * (1 / radius)
    return weight * ramp(radius - reach, 16) * ramp(chest.y - height + 20, 90)


def bones(chest):
    """Returns ribs, clavicles, shoulder blades and spine."""
    body, across = chest.body, chest.across
    part = across * (1 / body.half_width)
    back = chest.y - body.rib_slope * part * (part - 0.15) - body.rib_phase
    front = chest.y - 75 * (1 - part) * (1 - part) - 0.5 * body.rib_spacing + 20 * part - body.rib_phase
    back, front = 4.2 - stripes(back, body.rib_spacing), 4.6 - stripes(front, body.rib_spacing + 3)
    cage = ramp(chest.wall + 5 - across, 5) * ramp(chest.y - chest.roof + 12, 12)
    cage *= ramp(body.domes[0] + 70 - chest.y, 60)
    ribs = 0.055 * ramp(back, 2) + 0.035 * ramp(1.5 - np.abs(back - 1.2), 2)
    ribs += 0.05 * ramp(front, 2.5) * ramp(part - 0.42, 0.3)
    edge = stripes(chest.y - body.rib_phase, 0.95 * body.rib_spacing)
    spine = ramp(17 - across, 5) * (0.03 + 0.05 * ramp(edge - 3.5, 3))
    return ribs * cage + clavicles(chest) + spine


def clavicles(chest):
    """Returns clavicles and the edges of the shoulder blades."""
    across, top = chest.across, chest.body.top
    bow = across - 75
    rise = chest.y - (top + 30) + 0.2 * across - 0.0016 * bow * bow
    bone = 5.5 - np.abs(rise)
    clavicle = (0.07 * ramp(bone, 3) + 0.04 * ramp(2 - np.abs(bone - 1), 2)) * ramp(across - 16, 5)
    blade = across - 0.82 * chest.body.half_width - 0.22 * (top + 90 - chest.y)
    blade = ramp(blade, 4) * ramp(top + 125 - chest.y, 40) * ramp(chest.y - top - 10, 20)
    return clavicle * ramp(chest.body.half_width + 25 - across, 10) + 0.05 * blade


def vessel_tree(chest, rng):
    """Returns vessels that fan out from the hila and thin towards the wall, in [0, 1]."""
    dx, dy = chest.across - 20, chest.y - (chest.body.top + 100)
    far = np.abs(dx) + np.abs(dy) + 1
    sector = dy / far + 0.13 * noise(rng, chest.size, chest.cells(34))
    sector = np.where(chest.x > 0, sector + 0.37, sector)
    coarse = stripes(sector, 0.19) * far
    fine = stripes(sector + 0.05 * noise(rng, chest.size, chest.cells(18)), 0.085) * far
    thick = np.clip(2.8 - far * (1 / 55), 0.2, 2.6)
    tree = ramp(thick - coarse, 2) + 0.6 * ramp(0.55 * thick - fine, 1.6) * ramp(far - 30, 30)
    return np.minimum(tree, 1) * np.clip(1.15 - far * (1 / 150), 0, 1)


def hila(chest, rng):
    """Returns the bright knots of vessels beside the mediastinum."""
    dx, dy = chest.across - 27, chest.y - (chest.body.top + rng.uniform(92, 104))
    knot = bump(dx * (1 / rng.uniform(18, 26))) * bump(dy * (1 / rng.uniform(26, 40)))
    lumps = 1 + 0.7 * noise(rng, chest.size, chest.cells(10))
    return (0.13 * chest.body.vessels) * knot * lumps * chest.air


def disc(chest, x, y, radius, soft=2.0):
    """Returns a disc's mask; the centre and radius in millimetres."""
    dx, dy = chest.x - x, chest.y - y
    return ramp(radius - (dx * dx + dy * dy) * (1 / radius), 2 * soft)


def confounders(chest, tissue, rng):
    """Adds what is normal and yet looks like a finding: nipples, scars, stomach air, a marker."""
    body = chest.body
    x, y, wide = rng.uniform(22, 62), body.domes[1] + rng.uniform(16, 34), rng.uniform(12, 30)
    dx, dy = (chest.x - x) * (1 / wide), (chest.y - y) * (1 / rng.uniform(7, 16))
    tissue -= rng.uniform(0, 0.22) * bump(np.minimum(dx * dx + dy * dy, 1))
    if rng.random() < 0.25:
        x, y, weight = rng.uniform(0.5, 0.68) * body.half_width, rng.uniform(15, 45), rng.uniform(0.03, 0.09)
        for side in (-1, 1):
            tissue += weight * disc(chest, side * x, y + rng.uniform(-5, 5), rng.uniform(3.5, 5.5))
    for _ in range(int(rng.integers(0, 3))):
        x, y = rng.uniform(-0.8, 0.8) * body.half_width, rng.uniform(body.top + 20, 60)
        tissue += rng.uniform(0.03, 0.12) * disc(chest, x, y, rng.uniform(1.2, 2.6), 1.0)
    if rng.random() < 0.3:
        scar(chest, tissue, rng)
    marker(chest, tissue, rng)


def scar(chest, tissue, rng):
    """Adds a short thin line in a lung."""
    x, y = rng.choice([-1, 1]) * rng.uniform(0.35, 0.75) * chest.body.half_width, rng.uniform(-90, 60)
    slope, half = rng.uniform(-0.5, 0.5), rng.uniform(8, 18)
    line = ramp(1.3 - np.abs(chest.y - y - slope * (chest.x - x)), 1.8)
    tissue += rng.uniform(0.04, 0.1) * line * bump((chest.x - x) * (1 / half)) * chest.lungs


def marker(chest, tissue, rng):
    """Adds the letter L in the upper corner on the patient's left."""
    size, pixel = chest.size, chest.pixel
    left, top = int(size * rng.uniform(0.86, 0.93)), int(size * rng.uniform(0.02, 0.1))
    height, stroke = max(int(13 / pixel), 3), max(int(2.6 / pixel), 1)
    tissue[top : top + height, left : left + stroke] = 1.3
    tissue[top + height - stroke : top + height, left : left + max(int(8 / pixel), 2)] = 1.3


def bedside(chest, tissue, rng):
    """Adds leads, a central line and a tube to an AP film, each only on some."""
    top = chest.body.top
    for _ in range(int(rng.integers(0, 4))):
        x, y, bow, slope = rng.uniform(-140, 140), rng.uniform(-90, 60), rng.uniform(-4e-3, 4e-3), rng.uniform(-1, 1)
        away = chest.x - x
        lead = ramp(1 - np.abs(chest.y - y - slope * away - bow * away * away), 1.5) * ramp(90 - np.abs(away), 4)
        tissue += 0.12 * lead + 0.3 * disc(chest, x, y, 4, 1.0)
    if rng.random() < 0.35:
        end, start = rng.uniform(-12, -2), rng.uniform(-70, -40)
        bow = (chest.y - top) * (1 / 90)
        line = ramp(1.1 - np.abs(chest.x - start - (end - start) * np.clip(bow * (2 - bow), 0, 1)), 1.5)
        tissue += 0.16 * line * ramp(top + 95 - chest.y, 4) * ramp(chest.y - top + 8, 4)
    if rng.random() < 0.3:
        tube = ramp(1.6 - np.abs(np.abs(chest.x - 2) - 3), 1.5) * ramp(top + rng.uniform(40, 70) - chest.y, 3)
        tissue += 0.14 * tube

"""From one row of the table to pixels and boxes."""

from dataclasses import dataclass

import numpy as np

from mamsf_keras.findings import BOX_FINDINGS
from mamsf_keras.phantoms import geometry
from mamsf_keras.phantoms.anatomy import paint
from mamsf_keras.phantoms.shapes import bounding_box
from mamsf_keras.phantoms.signs import DRAWN, SHAPES, VISIBLE, finding_stream


@dataclass(frozen=True)
class RadiographSpec:
    """Describes what one radiograph shows.

    Args:
        patient: patient id.
        follow_up: follow-up number from 0.
        findings: NIH finding names, empty for none.
        female: whether the patient is female.
        portable: whether the view is AP.
        frame: millimetres a side.
    """

    patient: int
    follow_up: int
    findings: tuple[str, ...]
    female: bool
    portable: bool
    frame: float

    def stream(self, seed: int, number: int) -> np.random.Generator:
        """Returns the random generator of one purpose for this image."""
        return geometry.stream(seed, number, self.patient, self.follow_up)


@dataclass(frozen=True)
class Radiograph:
    """Holds a drawn radiograph.

    Args:
        pixels: uint8 of shape (size, size).
        boxes: (finding, x, y, width, height) of each lesion that has one, in pixels.
        chest: what was drawn, with its masks.
    """

    pixels: np.ndarray
    boxes: list[tuple[str, int, int, int, int]]
    chest: geometry.Chest


def draw(spec: RadiographSpec, seed: int = 0, size: int = 256) -> Radiograph:
    """Draws a radiograph.

    Equal arguments give equal pixels. Every part has random numbers of its own, so the same radiograph with one
    more finding differs in that finding alone.

    Args:
        spec: what it shows.
        seed: 0 or more, of the data set.
        size: pixels a side.
    """
    body = geometry.normal_body(
        seed, spec.patient, spec.follow_up, female=spec.female, portable=spec.portable, frame=spec.frame
    )
    rngs = {name: finding_stream(seed, name, spec.patient, spec.follow_up) for name in spec.findings}
    for name in SHAPES:
        if name in rngs:
            body = SHAPES[name](body, rngs[name])
    chest = geometry.Chest(body, size)
    tissue, vessels = paint(chest, spec.stream(seed, geometry.TEXTURE), spec.stream(seed, geometry.DEVICES))
    boxes = []
    for name in spec.findings:
        lesions = DRAWN[name](chest.thorax, vessels, rngs[name]) if name in DRAWN else []
        for lesion in lesions:
            tissue[chest.thorax.span] += lesion
        if name in BOX_FINDINGS:
            # Shared out, so that what two overlapping lesions each leave outside is invisible in sum too.
            seen = [abs(lesion) > VISIBLE / len(lesions) for lesion in lesions] or [chest.thorax.heart > 0.02]
            found, top = filter(None, map(bounding_box, seen)), chest.thorax.span.start
            boxes += [(name, x, y + top, width, height) for x, y, width, height in found]
    return Radiograph(expose(tissue, chest, spec.stream(seed, geometry.EXPOSURE)), boxes, chest)


def expose(tissue: np.ndarray, chest: geometry.Chest, rng: np.random.Generator) -> np.ndarray:
    """Turns brightness into grey levels: contrast, fog, uneven beam, film curve, grain.

    Args:
        tissue: float32 of shape (size, size); overwritten.
        chest: what it is of.
        rng: generator of the exposure and the grain.

    Returns:
        uint8 of shape (size, size).
    """
    contrast, fog = rng.uniform(0.92, 1.14), rng.uniform(-0.04, 0.04)
    grain = rng.uniform(0.015, 0.035)
    if chest.body.portable:
        contrast, fog, grain = 0.92 * contrast, fog + rng.uniform(0, 0.06), 1.4 * grain
    tissue -= 0.55
    tissue *= contrast
    tissue += chest.x * rng.uniform(-4e-4, 4e-4) + chest.y * rng.uniform(-3e-4, 3e-4)
    tissue += 0.55 + fog
    np.clip(tissue, 0, 9, out=tissue)
    square = tissue * tissue
    square *= square
    square += 1
    tissue /= np.sqrt(np.sqrt(square))
    speckle = np.frombuffer(rng.bytes(2 * tissue.size), np.uint8).reshape(2, *tissue.shape)
    tissue += (grain / 255) * np.add(*speckle, dtype=np.float32) - grain
    tissue *= 255
    return np.clip(tissue, 0, 255, out=tissue).astype(np.uint8)

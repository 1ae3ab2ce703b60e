"""Draws the pixels and boxes of one row of the table."""

from dataclasses import dataclass

import numpy as np

from mamsf_keras.findings import BOX_FINDINGS
from mamsf_keras.phantoms import geometry
from mamsf_keras.phantoms.anatomy import paint
from mamsf_keras.phantoms.shapes import bounding_box
from mamsf_keras.phantoms.signs import DRAWN, SHAPES, VISIBLE, finding_stream


@dataclass(frozen=True)
class RadiographSpec:
    """Describes the content of one radiograph.

    Args:
        patient: patient ID.
        follow_up: follow-up number, from 0.
        findings: NIH names of the findings; empty for none.
        female: whether the patient is female.
        portable: whether the view is AP.
        frame: width and height in millimeters.
    """

    patient: int
    follow_up: int
    findings: tuple[str, ...]
    female: bool
    portable: bool
    frame: float

    def stream(self, seed: int, number: int) -> np.random.Generator:
        """Returns the random generator for one purpose in this image."""
        return geometry.stream(seed, number, self.patient, self.follow_up)


@dataclass(frozen=True)
class Radiograph:
    """Holds a drawn radiograph.

    Args:
        pixels: uint8 array of shape (size, size).
        boxes: (finding, x, y, width, height) of each lesion that has a box, in pixels.
        chest: the chest that was drawn, with its masks.
    """

    pixels: np.ndarray
    boxes: list[tuple[str, int, int, int, int]]
    chest: geometry.Chest


def draw(spec: RadiographSpec, seed: int = 0, size: int = 256) -> Radiograph:
    """Draws a radiograph.

    Equal arguments give equal pixels. Every part has a separate random stream, so a further finding does not change
    the random choices for the rest of the radiograph.

    Args:
        spec: content of the radiograph.
        seed: seed of the data set, at least 0.
        size: height and width in pixels.
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
            # The threshold is divided by the number of lesions, so that the sum outside all boxes is invisible too.
            seen = [abs(lesion) > VISIBLE / len(lesions) for lesion in lesions] or [chest.thorax.heart > 0.02]
            found, top = filter(None, map(bounding_box, seen)), chest.thorax.span.start
            boxes += [(name, x, y + top, width, height) for x, y, width, height in found]
    return Radiograph(expose(tissue, chest, spec.stream(seed, geometry.EXPOSURE)), boxes, chest)


def expose(tissue: np.ndarray, chest: geometry.Chest, rng: np.random.Generator) -> np.ndarray:
    """Converts brightness to gray levels, with contrast, fog, an uneven beam, a film curve and grain.

    Args:
        tissue: brightness, float32 of shape (size, size); overwritten.
        chest: the chest that is exposed.
        rng: random generator for the exposure and the grain.

    Returns:
        uint8 array of shape (size, size).
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

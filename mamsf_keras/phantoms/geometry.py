"""The shape of a phantom chest: the parameters of the body, and masks on the pixel grid.

All lengths are in millimeters. The origin is the center of the frame; x increases to the right of the image, which is
the left of the patient; y increases downward. `side` is -1 for the left of the image (the right lung) and 1 for the
right.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mamsf_keras.phantoms.shapes import bump, noise, ramp

PATIENT, VISIT, TEXTURE, DEVICES, EXPOSURE, LABELS, TAIL, SIGNS = range(8)
"""Random streams. The stream of a finding is SIGNS plus its index in the output order."""


def stream(seed: int, number: int, patient: int = 0, follow_up: int = 0) -> np.random.Generator:
    """Returns the random generator for one purpose, independent of all others.

    Args:
        seed: seed of the data set, at least 0.
        number: the purpose, one of the streams above.
        patient: patient ID.
        follow_up: follow-up number.
    """
    return np.random.default_rng([seed, number, patient, follow_up])


@dataclass(frozen=True)
class Body:
    """Holds the body parameters of one patient at one visit. Lengths are in millimeters.

    Args:
        frame: width and height of the radiograph.
        female: whether breasts are drawn.
        portable: whether the view is AP, with the haze, lines and leads of a bedside film.
        half_width: inner half-width of the thorax at its widest point.
        top: y of the lung apices.
        domes: y of the highest point of the (right, left) hemidiaphragm.
        drop: height scale of the domes; small values are flat.
        ratio: cardiothoracic ratio.
        heart_right: fraction of the heart width on the patient's right of the midline.
        margin: thickness of the chest wall outside the ribs.
        knob: size of the aortic knob.
        rib_spacing: distance between ribs.
        rib_phase: height of the first rib.
        rib_slope: drop of the posterior ribs from the spine to the wall.
        tilt: slope of the midline, x per y.
        shift: offset (x, y) of the chest in the frame.
        vessels: strength of the vessels; 1 is normal.
        lucency: darkness of the lungs; 1 is normal.
    """

    frame: float
    female: bool
    portable: bool
    half_width: float
    top: float
    domes: tuple[float, ...]
    drop: float
    ratio: float
    heart_right: float
    margin: float
    knob: float
    rib_spacing: float
    rib_phase: float
    rib_slope: float
    tilt: float
    shift: tuple[float, float]
    vessels: float = 1.0
    lucency: float = 1.0


def normal_body(seed: int, patient: int, follow_up: int, *, female: bool, portable: bool, frame: float) -> Body:
    """Draws a healthy body. Habitus depends on the patient; breath and posture depend on the visit.

    Args:
        seed: seed of the data set, at least 0.
        patient: patient ID.
        follow_up: follow-up number.
        female: whether the patient is female.
        portable: whether the view is AP.
        frame: width and height of the radiograph in millimeters.

    Returns:
        A body with a cardiothoracic ratio below 0.5.
    """
    own, visit = stream(seed, PATIENT, patient).uniform, stream(seed, VISIT, patient, follow_up).uniform
    half_width = own(112, 134) if female else own(120, 146)
    breath = visit(0, 16) + (visit(4, 22) if portable else 0.0)
    dome = own(62, 84) - breath
    return Body(
        frame=frame,
        female=female,
        portable=portable,
        half_width=half_width,
        top=own(-136, -118) + 0.2 * breath,
        domes=(dome - own(2, 12), dome),
        drop=own(80, 130),
        ratio=min(own(0.37, 0.46) + (0.02 if portable else 0.0) + visit(-0.01, 0.01), 0.47),
        heart_right=own(0.27, 0.38),
        margin=own(16, 62),
        knob=own(4, 15),
        rib_spacing=own(21, 27),
        rib_phase=own(0, 25),
        rib_slope=own(25, 60),
        tilt=visit(-0.05, 0.05),
        shift=(visit(-12, 12), visit(-8, 12)),
    )


class Chest:
    """A body on the pixel grid, or on a band of its rows.

    Masks are float32 arrays of shape (rows, size) in [0, 1], computed on first use.

    Args:
        body: parameters of the body.
        size: height and width of the full radiograph in pixels.
        rows: band of rows of the radiograph; all rows by default.
    """

    def __init__(self, body: Body, size: int, rows: slice | None = None) -> None:
        """Computes the coordinates. Masks are computed on first use."""
        self.body = body
        self.size = size
        self.span = rows or slice(0, size)
        self.pixel = body.frame / size
        center = (np.arange(size, dtype=np.float32) + 0.5) * self.pixel - body.frame / 2
        self.y = (center[self.span] - body.shift[1])[:, None]
        self.x = (center - body.shift[0]) + self.y * body.tilt
        self.across = np.abs(self.x)

    @cached_property
    def thorax(self) -> "Chest":
        """The band of rows from above the apices to below the diaphragm, which holds everything inside the chest."""
        bottom = max(self.base + 14, *(dome + 34 for dome in self.body.domes))
        return Chest(self.body, self.size, self.rows(self.body.top - 22, bottom))

    @property
    def base(self) -> float:
        """y of the costophrenic angles."""
        return sum(self.body.domes) / 2 + 0.34 * self.body.drop

    def rows(self, top: float, bottom: float) -> slice:
        """Returns the slice of rows between two heights, for drawing only there."""
        zero = self.body.shift[1] + self.body.frame / 2
        first, last = (int((y + zero) / self.pixel) - self.span.start for y in (top, bottom))
        count = self.span.stop - self.span.start
        return slice(min(max(first, 0), count), min(max(last + 1, 0), count))

    def columns(self, reach: float) -> slice:
        """Returns the slice of columns within `reach` of the midline, including its tilt."""
        lean = abs(self.body.tilt) * self.body.frame / 2 + reach
        middle = self.body.shift[0] + self.body.frame / 2
        return slice(max(int((middle - lean) / self.pixel), 0), int((middle + lean) / self.pixel) + 1)

    def noise(self, rng: np.random.Generator, grain: float) -> np.ndarray:
        """Draws a smooth random field of shape (rows, size) in [-1, 1] with a grain in millimeters."""
        return noise(rng, (len(self.y), self.size), max(int(self.body.frame / grain), 2))

    @cached_property
    def left(self) -> np.ndarray:
        """1 on the patient's left of the midline (the right of the image), else 0."""
        return (self.x > 0).astype(np.float32)

    def half(self, side: int) -> np.ndarray:
        """Returns a mask that is 1 on one side of the midline."""
        return self.left if side > 0 else 1 - self.left

    def wall_at(self, y: float | np.ndarray) -> np.ndarray:
        """Returns the distance from the midline to the inner chest wall at the heights `y`."""
        depth = np.clip((y - self.body.top) / (self.base - self.body.top), 0, 1)
        return self.body.half_width * (0.25 + 0.75 * np.sqrt(depth * (2 - depth)))

    @cached_property
    def wall(self) -> np.ndarray:
        """Distance from the midline to the inner chest wall, shape (rows, 1)."""
        return self.wall_at(self.y)

    @cached_property
    def floor(self) -> np.ndarray:
        """y of the diaphragm, shape (rows, size)."""
        right, left = self.body.domes
        t = self.across * (1 / self.body.half_width) - 0.48
        out = np.clip(t, 0, 1)
        out *= out
        out += 0.25 * t * t
        out *= self.body.drop
        out += right + (left - right) * self.left
        return out

    @cached_property
    def roof(self) -> np.ndarray:
        """y of the lung apices, shape (rows, size)."""
        t = self.across - 0.38 * self.body.half_width
        return self.body.top + 0.012 * t * t

    @cached_property
    def lungs(self) -> np.ndarray:
        """Both halves of the chest cavity, including the area of the heart."""
        return ramp(self.wall - self.across, 3) * ramp(self.y - self.roof, 4) * ramp(self.floor - self.y, 3)

    @cached_property
    def heart(self) -> np.ndarray:
        """The heart. Its width divided by the width of the cavity is the cardiothoracic ratio of the body."""
        right, left = self.heart_borders
        long = ramp(self.y - self.heart_top, 20) * ramp(self.body.domes[1] + 16 - self.y, 8)
        return ramp(self.x + right, 4) * ramp(left - self.x, 4) * long

    @property
    def heart_top(self) -> float:
        """y of the upper end of the heart."""
        return self.body.domes[0] - 88

    @property
    def heart_borders(self) -> tuple[np.ndarray, np.ndarray]:
        """Distances from the midline to the right and left heart borders, each of shape (rows, 1)."""
        right, left = self.body.domes
        width = 2 * self.body.half_width * self.body.ratio
        upper, lower = (self.y - right + 34) / 62, (self.y - left + 24) / 84
        round_right = np.sqrt(np.maximum(1 - upper * upper, 0))
        round_left = np.maximum(1 - lower * lower, 0)
        return width * self.body.heart_right * round_right, width * (1 - self.body.heart_right) * round_left

    @cached_property
    def mediastinum(self) -> np.ndarray:
        """The great vessels and the other structures between the lungs, from the neck to the diaphragm."""
        knob = self.body.knob * bump((self.y - self.body.top - 62) * (1 / 22))
        trunk = 7 * bump((self.y - self.body.top - 92) * (1 / 24))
        right = 19 + 4 * bump((self.y - self.body.top - 80) * (1 / 50))
        long = ramp(self.y - self.body.top + 8, 24) * ramp(self.base - 10 - self.y, 40)
        return ramp(self.x + right, 6) * ramp(20 + knob + trunk - self.x, 6) * long

    @cached_property
    def cover(self) -> np.ndarray:
        """Degree to which the heart and the mediastinum cover the lungs."""
        return np.maximum(self.mediastinum, 0.86 * self.heart)

    @cached_property
    def air(self) -> np.ndarray:
        """The dark part of the radiograph: lung that is not covered by the heart or the mediastinum."""
        return self.lungs * (1 - self.cover)

"""The shape of a phantom's chest: numbers of the body, then masks on the pixel grid.

Millimetres throughout, from the middle of the frame; x grows to the image's right, which is the patient's
left; y grows downwards. `side` is -1 for the image's left (the patient's right lung) and 1 for its right.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mamsf_keras.phantoms.shapes import bump, noise, ramp

PATIENT, VISIT, TEXTURE, DEVICES, EXPOSURE, LABELS, TAIL, SIGNS = range(8)
"""Streams of random numbers; that of a finding is SIGNS plus its place in the output order."""


def stream(seed: int, number: int, patient: int = 0, follow_up: int = 0) -> np.random.Generator:
    """Returns the random generator of one purpose, independent of what else is drawn.

    Args:
        seed: 0 or more, of the whole data set.
        number: the purpose: one of the streams above.
        patient: patient id.
        follow_up: follow-up number.
    """
    return np.random.default_rng([seed, number, patient, follow_up])


@dataclass(frozen=True)
class Body:
    """Holds the numbers of one patient at one visit; lengths in millimetres.

    Args:
        frame: width and height of the radiograph.
        female: whether breasts are drawn.
        portable: whether the view is AP, with a bedside film's haze, lines and leads.
        half_width: inner half width of the thorax at its widest.
        top: y of the lung apices.
        domes: y of the (right, left) hemidiaphragm's highest point.
        drop: height scale of the domes; small is flat.
        ratio: cardiothoracic ratio.
        heart_right: share of the heart's width right of the midline.
        margin: chest wall outside the ribs.
        knob: size of the aortic knob.
        rib_spacing: distance between ribs.
        rib_phase: height of the first rib.
        rib_slope: fall of the posterior ribs from spine to wall.
        tilt: lean of the midline, x for each y.
        shift: offset (x, y) of the chest in the frame.
        vessels: strength of the vessels, 1 is normal.
        lucency: strength of the lungs' darkness, 1 is normal.
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
    """Draws a healthy body: habitus by patient, breath and posture by visit.

    Args:
        seed: 0 or more.
        patient: patient id.
        follow_up: follow-up number.
        female: whether the patient is female.
        portable: whether the view is AP.
        frame: millimetres a side.

    Returns:
        A body whose cardiothoracic ratio is under one half.
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
    """Lays a body out on a pixel grid, or on a band of its rows.

    Masks are float32 arrays of shape (rows, size) in [0, 1], computed when first asked for.

    Args:
        body: what is laid out.
        size: pixels a side of the whole radiograph.
        rows: the band of the radiograph's rows; all by default.
    """

    def __init__(self, body: Body, size: int, rows: slice | None = None) -> None:
        """Lays out the coordinates; masks come when asked for."""
        self.body = body
        self.size = size
        self.span = rows or slice(0, size)
        self.pixel = body.frame / size
        centre = (np.arange(size, dtype=np.float32) + 0.5) * self.pixel - body.frame / 2
        self.y = (centre[self.span] - body.shift[1])[:, None]
        self.x = (centre - body.shift[0]) + self.y * body.tilt
        self.across = np.abs(self.x)

    @cached_property
    def thorax(self) -> "Chest":
        """The band of rows from above the apices to below the diaphragm: all that is drawn inside is drawn there."""
        bottom = max(self.base + 14, *(dome + 34 for dome in self.body.domes))
        return Chest(self.body, self.size, self.rows(self.body.top - 22, bottom))

    @property
    def base(self) -> float:
        """y of the costophrenic angles."""
        return sum(self.body.domes) / 2 + 0.34 * self.body.drop

    def rows(self, top: float, bottom: float) -> slice:
        """Returns the slice of the rows between two heights, for what is drawn there only."""
        zero = self.body.shift[1] + self.body.frame / 2
        first, last = (int((y + zero) / self.pixel) - self.span.start for y in (top, bottom))
        count = self.span.stop - self.span.start
        return slice(min(max(first, 0), count), min(max(last + 1, 0), count))

    def columns(self, reach: float) -> slice:
        """Returns the slice of the columns within `reach` of the midline, however it leans."""
        lean = abs(self.body.tilt) * self.body.frame / 2 + reach
        middle = self.body.shift[0] + self.body.frame / 2
        return slice(max(int((middle - lean) / self.pixel), 0), int((middle + lean) / self.pixel) + 1)

    def noise(self, rng: np.random.Generator, grain: float) -> np.ndarray:
        """Draws a smooth random field of shape (rows, size) in [-1, 1] with a grain in millimetres."""
        return noise(rng, (len(self.y), self.size), max(int(self.body.frame / grain), 2))

    @cached_property
    def left(self) -> np.ndarray:
        """1 on the patient's left of the midline, which is the image's right, else 0."""
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
        """Both halves of the chest's cavity, the heart's place included."""
        return ramp(self.wall - self.across, 3) * ramp(self.y - self.roof, 4) * ramp(self.floor - self.y, 3)

    @cached_property
    def heart(self) -> np.ndarray:
        """The heart; its width over the cavity's is the body's cardiothoracic ratio."""
        right, left = self.heart_borders
        long = ramp(self.y - self.heart_top, 20) * ramp(self.body.domes[1] + 16 - self.y, 8)
        return ramp(self.x + right, 4) * ramp(left - self.x, 4) * long

    @property
    def heart_top(self) -> float:
        """y of the heart's upper end."""
        return self.body.domes[0] - 88

    @property
    def heart_borders(self) -> tuple[np.ndarray, np.ndarray]:
        """Distances from the midline to the heart's right and left border, each of shape (rows, 1)."""
        right, left = self.body.domes
        width = 2 * self.body.half_width * self.body.ratio
        upper, lower = (self.y - right + 34) / 62, (self.y - left + 24) / 84
        round_right = np.sqrt(np.maximum(1 - upper * upper, 0))
        round_left = np.maximum(1 - lower * lower, 0)
        return width * self.body.heart_right * round_right, width * (1 - self.body.heart_right) * round_left

    @cached_property
    def mediastinum(self) -> np.ndarray:
        """The great vessels and all else between the lungs, from the neck to the diaphragm."""
        knob = self.body.knob * bump((self.y - self.body.top - 62) * (1 / 22))
        trunk = 7 * bump((self.y - self.body.top - 92) * (1 / 24))
        right = 19 + 4 * bump((self.y - self.body.top - 80) * (1 / 50))
        long = ramp(self.y - self.body.top + 8, 24) * ramp(self.base - 10 - self.y, 40)
        return ramp(self.x + right, 6) * ramp(20 + knob + trunk - self.x, 6) * long

    @cached_property
    def cover(self) -> np.ndarray:
        """How far heart and mediastinum hide the lungs."""
        return np.maximum(self.mediastinum, 0.86 * self.heart)

    @cached_property
    def air(self) -> np.ndarray:
        """What is dark on the radiograph: lung that neither heart nor mediastinum covers."""
        return self.lungs * (1 - self.cover)

"""The shape of a phantom's chest: numbers of the body, then masks on the pixel grid.

Millimetres throughout, from the middle of the frame; x grows to the image's right, which is the patient's
left; y grows downwards. `side` is -1 for the image's left (the patient's right lung) and 1 for its right.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mamsf_keras.data.phantom.shapes import bump, ramp

PATIENT, VISIT, TEXTURE, DEVICES, EXPOSURE, LABELS, TAIL, SIGNS = range(8)
"""Streams of random numbers; that of a finding is SIGNS plus its place in the output order."""


def stream(seed, number, patient=0, follow_up=0):
    """Returns the random generator of one purpose, independent of what else is drawn.

    Args:
        seed: Int, 0 or more, of the whole data set.
        number: Int, the purpose: one of the streams above.
        patient: Int, patient id.
        follow_up: Int, follow-up number.

    Returns:
        A NumPy Generator.
    """
    return np.random.default_rng([seed, number, patient, follow_up])


@dataclass(frozen=True)
class Body:
    """Holds the numbers of one patient at one visit; lengths in millimetres.

    Args:
        frame: Width and height of the radiograph.
        female: Whether breasts are drawn.
        portable: Whether the view is AP, with a bedside film's haze, lines and leads.
        half_width: Inner half width of the thorax at its widest.
        top: y of the lung apices.
        domes: y of the (right, left) hemidiaphragm's highest point.
        drop: Height scale of the domes; small is flat.
        ratio: Cardiothoracic ratio.
        heart_right: Share of the heart's width right of the midline.
        margin: Chest wall outside the ribs.
        knob: Size of the aortic knob.
        rib_spacing: Distance between ribs.
        rib_phase: Height of the first rib.
        rib_slope: Fall of the posterior ribs from spine to wall.
        tilt: Lean of the midline, x for each y.
        shift: Offset (x, y) of the chest in the frame.
        vessels: Strength of the vessels, 1 is normal.
        lucency: Strength of the lungs' darkness, 1 is normal.
    """

    frame: float
    female: bool
    portable: bool
    half_width: float
    top: float
    domes: tuple
    drop: float
    ratio: float
    heart_right: float
    margin: float
    knob: float
    rib_spacing: float
    rib_phase: float
    rib_slope: float
    tilt: float
    shift: tuple
    vessels: float = 1.0
    lucency: float = 1.0


def normal_body(seed, patient, follow_up, *, female, portable, frame):
    """Draws a healthy body: habitus by patient, breath and posture by visit.

    Args:
        seed: Int, 0 or more.
        patient: Int, patient id.
        follow_up: Int, follow-up number.
        female: Bool.
        portable: Bool, AP view.
        frame: Float, millimetres a side.

    Returns:
        A `Body` whose cardiothoracic ratio is under one half.
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
        ratio=min(own(0.37, 0.46) + (0.02 if portable else 0.0) + visit(-0.01, 0.01), 0.485),
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
    """Lays a body out on a pixel grid.

    Masks are float32 arrays of shape (size, size) in [0, 1], computed when first asked for.

    Args:
        body: A `Body`.
        size: Int, pixels a side.
    """

    def __init__(self, body, size):
        self.body = body
        self.size = size
        self.pixel = body.frame / size
        centre = (np.arange(size, dtype=np.float32) + 0.5) * self.pixel - body.frame / 2
        self.y = (centre - body.shift[1])[:, None]
        self.x = (centre - body.shift[0]) + self.y * body.tilt
        self.across = np.abs(self.x)

    @property
    def base(self):
        """y of the costophrenic angles."""
        return sum(self.body.domes) / 2 + 0.34 * self.body.drop

    def cells(self, grain):
        """Returns how many cells of `grain` millimetres fit into the frame, at least 2."""
        return max(int(self.body.frame / grain), 2)

    def half(self, side):
        """Returns a (size, size) boolean array, true on one side of the midline."""
        return self.x * side > 0

    def wall_at(self, y):
        """Returns the distance from the midline to the inner chest wall at the heights `y`."""
        depth = np.clip((y - self.body.top) / (self.base - self.body.top), 0, 1)
        return self.body.half_width * (0.25 + 0.75 * np.sqrt(depth * (2 - depth)))

    @cached_property
    def wall(self):
        """Distance from the midline to the inner chest wall, shape (size, 1)."""
        return self.wall_at(self.y)

    @cached_property
    def floor(self):
        """y of the diaphragm, shape (size, size)."""
        right, left = self.body.domes
        t = self.across * (1 / self.body.half_width) - 0.48
        out = np.maximum(t, 0)
        return np.where(self.x > 0, np.float32(left), np.float32(right)) + self.body.drop * (
            0.25 * t * t + out * out
        )

    @cached_property
    def roof(self):
        """y of the lung apices, shape (size, size)."""
        t = self.across - 0.38 * self.body.half_width
        return self.body.top + 0.012 * t * t

    @cached_property
    def lungs(self):
        """Both halves of the chest's cavity, the heart's place included."""
        return ramp(self.wall - self.across, 3) * ramp(self.y - self.roof, 4) * ramp(self.floor - self.y, 3)

    @cached_property
    def heart(self):
        """The heart; its width over the cavity's is the body's cardiothoracic ratio."""
        right, left = self.heart_borders
        long = ramp(self.y - self.heart_top, 20) * ramp(self.body.domes[1] + 16 - self.y, 8)
        return ramp(self.x + right, 4) * ramp(left - self.x, 4) * long

    @property
    def heart_top(self):
        """y of the heart's upper end."""
        return self.body.domes[0] - 88

    @property
    def heart_borders(self):
        """Distances from the midline to the heart's right and left border, each of shape (size, 1)."""
        right, left = self.body.domes
        width = 2 * self.body.half_width * self.body.ratio
        upper, lower = (self.y - right + 34) / 62, (self.y - left + 24) / 84
        round_right = np.sqrt(np.maximum(1 - upper * upper, 0))
        round_left = np.sqrt(np.maximum(1 - lower * lower, 0))
        return width * self.body.heart_right * round_right, width * (1 - self.body.heart_right) * round_left

    @cached_property
    def mediastinum(self):
        """The great vessels and all else between the lungs."""
        knob = self.body.knob * bump((self.y - self.body.top - 62) * (1 / 22))
        trunk = 7 * bump((self.y - self.body.top - 92) * (1 / 24))
        right = 19 + 4 * bump((self.y - self.body.top - 80) * (1 / 50))
        return ramp(self.x + right, 6) * ramp(20 + knob + trunk - self.x, 6)

    @cached_property
    def air(self):
        """What is dark on the radiograph: lung that neither heart nor mediastinum covers."""
        return self.lungs * (1 - np.maximum(self.mediastinum, 0.86 * self.heart))

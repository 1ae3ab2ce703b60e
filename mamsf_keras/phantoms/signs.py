"""The 14 findings: how each one changes the shape of the body, and what it draws."""

from dataclasses import replace

import numpy as np

from mamsf_keras.findings import FINDINGS
from mamsf_keras.phantoms import airspace, focal, pleura
from mamsf_keras.phantoms.geometry import SIGNS, Body, stream
from mamsf_keras.phantoms.sampling import random_severity

VISIBLE = 0.02
"""Smallest change in brightness that counts as visible: about 5 of 255 gray levels."""


def emphysema(body: Body, rng: np.random.Generator) -> Body:
    """Hyperinflates the lungs: low flat diaphragm, dark lungs with few vessels, narrow heart."""
    grade = 0.3 + 0.7 * random_severity(rng)
    return replace(
        body,
        domes=tuple(dome + 26 * grade for dome in body.domes),
        drop=body.drop * (0.85 - 0.5 * grade),
        top=body.top - 6 * grade,
        ratio=body.ratio - 0.08 * grade,
        vessels=body.vessels * (0.9 - 0.45 * grade),
        lucency=body.lucency + 0.24 * grade,
    )


def congestion(body: Body, rng: np.random.Generator) -> Body:
    """Widens the vessels and the heart, without reaching cardiomegaly."""
    grade = random_severity(rng)
    return replace(body, vessels=body.vessels * (1.1 + 0.5 * grade), ratio=min(body.ratio + 0.025, 0.475))


def shrinkage(body: Body, rng: np.random.Generator) -> Body:
    """Raises the diaphragm under stiff lungs."""
    lift = rng.uniform(0, 10)
    return replace(body, domes=tuple(dome - lift for dome in body.domes))


def cardiomegaly(body: Body, rng: np.random.Generator) -> Body:
    """Widens the heart to a cardiothoracic ratio of 0.58 to 0.68."""
    return replace(body, ratio=0.515 + 0.165 * random_severity(rng))


SHAPES = {
    "Emphysema": emphysema,
    "Edema": congestion,
    "Fibrosis": shrinkage,
    "Cardiomegaly": cardiomegaly,
}
"""Findings that change the body, in order of application. Cardiomegaly is last, so that its ratio is final."""

DRAWN = {
    "Atelectasis": airspace.atelectasis,
    "Effusion": pleura.effusion,
    "Infiltration": airspace.infiltration,
    "Mass": focal.mass,
    "Nodule": focal.nodule,
    "Pneumonia": airspace.pneumonia,
    "Pneumothorax": pleura.pneumothorax,
    "Consolidation": airspace.consolidation,
    "Edema": airspace.edema,
    "Fibrosis": airspace.fibrosis,
    "Pleural_Thickening": pleura.pleural_thickening,
    "Hernia": focal.hernia,
}
"""Findings that are drawn on top of the normal chest."""


def finding_stream(seed: int, finding: str, patient: int, follow_up: int) -> np.random.Generator:
    """Returns the random generator of one finding on one image."""
    return stream(seed, SIGNS + FINDINGS.index(finding), patient, follow_up)

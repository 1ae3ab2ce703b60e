"""Round findings have the sizes that define them."""

from types import SimpleNamespace

import numpy as np
import pytest

from mamsf_keras.phantoms import draw
from mamsf_keras.phantoms.focal import ball, hernia, mass, nodule
from tests.toys import phantom_chests, phantom_spec

pytestmark = pytest.mark.no_keras


def test_ball_by_hand():
    """Full at the center, 0.85 x 1 at half the squared radius, 0.7 x 0.5 at the edge, 0 outside."""
    radius = 20.0
    chest = SimpleNamespace(x=10 + radius * np.array([0, 0.5**0.5, 1, 1.2]), y=np.full(4, 5.0))
    np.testing.assert_allclose(ball(chest, 10, 5, radius), [1, 0.85, 0.35, 0], atol=1e-6)
    dented = ball(chest, 10, 5, radius, rough=-8.0)
    assert (dented <= ball(chest, 10, 5, radius)).all() and dented[2] == 0


def test_nodules_are_under_and_masses_over_three_centimeters():
    sides = {"Nodule": [], "Mass": []}
    for name, found in sides.items():
        for number in range(40):
            drawn = draw(phantom_spec(number, name, frame=420.0), size=256)
            found += [max(box[3:]) * 420.0 / 256 for box in drawn.boxes]
    assert max(sides["Nodule"]) < 30 < min(sides["Mass"])
    assert len(sides["Nodule"]) > 40 == len(sides["Mass"])


def test_one_to_four_nodules_and_one_mass():
    counts = set()
    for seed, chest in enumerate(phantom_chests(40, size=64)):
        shadows = nodule(chest, None, np.random.default_rng(seed))
        counts.add(len(shadows))
        assert all(0.3 < shadow.max() < 1 and shadow.min() == 0 for shadow in shadows)
        assert len(mass(chest, None, np.random.default_rng(seed))) == 1
    assert counts == {1, 2, 3, 4}


def test_hernia_is_behind_the_heart_with_air_above_fluid():
    for seed, chest in enumerate(phantom_chests(20)):
        [shadow] = hernia(chest, None, np.random.default_rng(seed))
        dark, bright = shadow < -0.02, shadow > 0.02
        assert dark.any() and bright.any()
        mean = [(chest.y * part).sum() / part.sum() for part in (dark, bright)]
        assert mean[0] < mean[1]  # y grows downward
        middle = (chest.x * (np.abs(shadow) > 0.02)).sum() / (np.abs(shadow) > 0.02).sum()
        assert -20 < middle < 40

import numpy as np
import pytest

from mamsf_keras.phantoms.sampling import random_place, random_severity, random_side
from tests.toys import phantom_chests

pytestmark = pytest.mark.no_keras


def test_sides_are_equally_likely():
    rng = np.random.default_rng(0)
    sides = [random_side(rng) for _ in range(2000)]
    assert set(sides) == {-1, 1} and abs(np.mean(sides)) < 0.09  # four standard errors


def test_severity_is_one_minus_six_tenths_of_a_squared_uniform_draw():
    """Its mean is 1 - 0.6 / 3, its median 1 - 0.6 / 4."""
    rng = np.random.default_rng(0)
    drawn = np.array([random_severity(rng) for _ in range(4000)])
    assert 0.4 <= drawn.min() < 0.42 and 0.999 < drawn.max() <= 1
    assert drawn.mean() == pytest.approx(0.8, abs=0.012) and np.median(drawn) == pytest.approx(0.85, abs=0.015)


@pytest.mark.parametrize("low", [0.0, 0.5])
def test_place_keeps_its_margin_to_wall_apex_and_diaphragm(low):
    rng, margin = np.random.default_rng(0), 12
    for chest in phantom_chests(6):
        body = chest.body
        places = [random_place(chest, rng, margin, low) for _ in range(100)]
        assert {side for _, _, side in places} == {-1, 1}
        for x, y, side in places:
            assert x * side > 26
            assert abs(x) <= chest.wall_at(y) - margin + 1e-6
            top, bottom = body.top + margin + 14, body.domes[side > 0] - margin
            assert top + low * (bottom - top) <= y + 1e-6 and y <= bottom

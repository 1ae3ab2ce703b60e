"""Fluid sinks, air rises, and scars follow the wall."""

import numpy as np
import pytest

from mamsf_keras.phantoms.pleura import effusion, pleural_thickening, pneumothorax, sides
from tests.toys import phantom_chests

pytestmark = pytest.mark.no_keras


@pytest.fixture(scope="module")
def chests():
    return phantom_chests(20)


def vessels(chest, strength=0.0):
    return np.full(chest.lungs.shape, strength, np.float32)


def test_both_sides_have_the_given_probability():
    rng = np.random.default_rng(0)
    drawn = [sides(rng, 0.3) for _ in range(2000)]
    assert set(drawn) == {(1,), (-1,), (1, -1), (-1, 1)}
    assert np.mean([len(each) == 2 for each in drawn]) == pytest.approx(0.3, abs=0.041)  # four standard errors


def test_effusion_lies_at_the_base_and_climbs_the_wall(chests):
    compared = 0
    for seed, chest in enumerate(chests):
        for fluid in effusion(chest, vessels(chest), np.random.default_rng(seed)):
            assert fluid.min() >= 0 and fluid.max() > 0.1
            assert (fluid * chest.y).sum() / fluid.sum() > (chest.body.top + chest.base) / 2
            inner, outer = (fluid > 0.15) & (chest.across < 75), (fluid > 0.15) & (chest.across > 100)
            if inner.any() and outer.any():
                assert chest.y[outer.any(1)].min() < chest.y[inner.any(1)].min()  # higher near the wall
                compared += 1
    assert compared >= 10


def test_pneumothorax_is_a_dark_rim_without_vessels_on_one_side(chests):
    for seed, chest in enumerate(chests):
        [without] = pneumothorax(chest, vessels(chest), np.random.default_rng(seed))
        [with_vessels] = pneumothorax(chest, vessels(chest, 0.1), np.random.default_rng(seed))
        rim = (without - with_vessels) / 0.1  # the share of the vessels that it removes
        assert rim.min() >= -1e-5 and rim.max() == pytest.approx(1, abs=1e-5)
        [side] = {side for side in (-1, 1) if (rim * chest.half(side)).max() > 0.02}
        apex = (chest.air > 0.95) & (chest.y < chest.roof + 15) & (chest.half(side) == 1)
        assert without[apex].mean() < -0.1
        assert (np.abs(without) * chest.half(-side)).max() == 0


def test_pneumothorax_ends_at_a_bright_line():
    """Halfway from lung to rim, the line adds 0.08 to 0.16 to half of the darkness of the rim."""
    for seed, chest in enumerate(phantom_chests(8, size=512)):
        [without] = pneumothorax(chest, vessels(chest), np.random.default_rng(seed))
        [with_vessels] = pneumothorax(chest, vessels(chest, 0.1), np.random.default_rng(seed))
        rim = (without - with_vessels) / 0.1
        edge, inside = (np.abs(rim - 0.5) < 0.05) & (chest.air > 0.99), (rim > 0.99) & (chest.air > 0.99)
        assert 0.07 < without[edge].mean() - without[inside].mean() / 2 < 0.17


def test_thickening_is_bright_along_wall_or_apex(chests):
    for seed, chest in enumerate(chests):
        [peel] = pleural_thickening(chest, vessels(chest), np.random.default_rng(seed))
        assert peel.min() >= 0 and peel.max() > 0.2
        thick = peel > 0.2
        distance = np.minimum(chest.wall - chest.across, chest.y - chest.roof)
        assert distance[thick].max() < 66  # 1.3 x 38 x 1.25 + 4 mm
        assert (peel[chest.lungs == 0] == 0).all()

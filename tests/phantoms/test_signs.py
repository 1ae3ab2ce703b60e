import numpy as np
import pytest

from mamsf_keras.findings import FINDINGS
from mamsf_keras.phantoms import draw
from mamsf_keras.phantoms.geometry import SIGNS, stream
from mamsf_keras.phantoms.signs import (
    DRAWN,
    SHAPES,
    VISIBLE,
    cardiomegaly,
    congestion,
    emphysema,
    finding_stream,
    shrinkage,
)
from tests.toys import phantom_chests, phantom_spec

pytestmark = pytest.mark.no_keras

CHANGE = 8
"""Gray levels above which a change counts: VISIBLE times the steepest exposure, rounded up."""


@pytest.fixture(scope="module")
def bodies():
    return [chest.body for chest in phantom_chests(30)]


@pytest.mark.parametrize("finding", FINDINGS)
def test_every_finding_is_visible(finding):
    assert VISIBLE * 255 == pytest.approx(5.1) and VISIBLE * 255 * 1.5 < CHANGE
    for number in range(6):
        with_finding, without = (draw(phantom_spec(number, *names), size=96) for names in ((finding,), ()))
        change = with_finding.pixels.astype(int) - without.pixels
        assert (np.abs(change) > CHANGE).sum() >= 4


def test_every_finding_has_a_sign():
    assert set(SHAPES) | set(DRAWN) == set(FINDINGS)


def test_every_finding_has_its_own_random_stream():
    draws = {finding: finding_stream(3, finding, 5, 2).random() for finding in FINDINGS}
    assert len(set(draws.values())) == 14
    for number, finding in enumerate(FINDINGS):
        assert draws[finding] == stream(3, SIGNS + number, 5, 2).random()


def test_heart_is_wide_in_cardiomegaly_and_never_in_congestion(bodies):
    for seed, body in enumerate(bodies):
        assert 0.54 <= cardiomegaly(body, np.random.default_rng(seed)).ratio <= 0.68
        wet = congestion(body, np.random.default_rng(seed))
        assert body.ratio <= wet.ratio < 0.5 and wet.vessels > 1.25 * body.vessels


def test_emphysema_inflates_the_lungs(bodies):
    for seed, body in enumerate(bodies):
        large = emphysema(body, np.random.default_rng(seed))
        assert all(low > high + 10 for low, high in zip(large.domes, body.domes, strict=True))  # y grows downward
        assert large.top < body.top and large.drop < body.drop and large.ratio < body.ratio
        assert large.vessels < 0.8 * body.vessels and large.lucency > body.lucency + 0.1


def test_fibrosis_lifts_both_domes_alike(bodies):
    lifts = []
    for seed, body in enumerate(bodies):
        stiff = shrinkage(body, np.random.default_rng(seed))
        right, left = (before - after for before, after in zip(body.domes, stiff.domes, strict=True))
        assert right == pytest.approx(left)
        lifts.append(right)
    assert 0 <= min(lifts) and max(lifts) <= 10 and max(lifts) - min(lifts) > 5

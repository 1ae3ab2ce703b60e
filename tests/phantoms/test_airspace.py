"""Each finding of the lungs has the place and shape of its radiographic sign."""

import numpy as np
import pytest

from mamsf_keras.phantoms import airspace
from tests.toys import phantom_chests

pytestmark = pytest.mark.no_keras

FINDINGS = ("infiltration", "pneumonia", "consolidation", "edema", "fibrosis", "atelectasis")


@pytest.fixture(scope="module")
def chests():
    return phantom_chests(20)


def lesions(name, chest, seed=0, vessels=0.0):
    return getattr(airspace, name)(chest, np.full(chest.lungs.shape, vessels, np.float32), np.random.default_rng(seed))


def sides(chest, lesion):
    """Returns the sides on which a lesion is."""
    return {side for side in (-1, 1) if (np.abs(lesion) * chest.half(side)).max() > 0.02}


def height(chest, lesion):
    """Returns the mean y of a lesion as a fraction of the lungs, 0 at the apex and 1 at the base."""
    mean = (lesion * chest.y).sum() / lesion.sum()
    return (mean - chest.body.top) / (chest.base - chest.body.top)


@pytest.mark.parametrize("name", FINDINGS)
def test_every_finding_brightens_only_the_lungs(chests, name):
    for seed, chest in enumerate(chests):
        for lesion in lesions(name, chest, seed):
            assert lesion.shape == chest.lungs.shape and lesion.max() > 0.02 and lesion.min() >= -1e-6
            assert (lesion[chest.lungs == 0] == 0).all()


def test_infiltration_is_one_to_three_patches_each_in_one_lung(chests):
    counts = set()
    for seed, chest in enumerate(chests):
        patches = lesions("infiltration", chest, seed)
        counts.add(len(patches))
        assert all(len(sides(chest, patch)) == 1 for patch in patches)
    assert counts == {1, 2, 3}


@pytest.mark.parametrize("name", ["pneumonia", "consolidation", "atelectasis"])
def test_findings_of_one_lung_are_on_either_side(chests, name):
    found = [sides(chest, *lesions(name, chest, seed)) for seed, chest in enumerate(chests)]
    assert {len(each) for each in found} == {1} and set().union(*found) == {-1, 1}


def test_pneumonia_is_denser_than_infiltration(chests):
    peaks = {
        name: np.mean([max(x.max() for x in lesions(name, chest, seed)) for seed, chest in enumerate(chests)])
        for name in ("pneumonia", "infiltration")
    }
    assert peaks["pneumonia"] > 1.15 * peaks["infiltration"]


def test_bronchi_are_dark_in_a_consolidation(chests):
    """Vessels of strength 0.05 leave half of the lobe, and from 0.12 on they turn it by a fifth."""
    for seed, chest in enumerate(chests):
        [lobe] = lesions("consolidation", chest, seed)
        for vessels, share in ((0.05, 0.5), (0.12, -0.2), (0.5, -0.2)):
            [drawn] = lesions("consolidation", chest, seed, vessels)
            np.testing.assert_allclose(drawn, share * lobe, atol=1e-6)


def test_edema_is_on_both_sides_around_the_hila(chests):
    for seed, chest in enumerate(chests):
        [wings] = lesions("edema", chest, seed)
        left = (wings * chest.half(1)).sum() / wings.sum()
        assert 0.2 < left < 0.8
        peak = chest.y[wings.sum(axis=1).argmax()].item()
        assert 50 < peak - chest.body.top < 175


def test_fibrosis_is_at_both_bases(chests):
    for seed, chest in enumerate(chests):
        [net] = lesions("fibrosis", chest, seed)
        assert sides(chest, net) == {-1, 1} and height(chest, net) > 0.6
        assert net[chest.rows(-999, chest.body.top + 20)].max() < 0.02


def test_atelectasis_raises_the_diaphragm(chests):
    for seed, chest in enumerate(chests):
        [loss] = lesions("atelectasis", chest, seed)
        above_floor = (chest.y > chest.floor - 5) & (chest.y < chest.floor - 2) & (chest.air > 0.9) & (loss > 0.1)
        assert above_floor.any() and height(chest, loss) > 0.55


def test_wedge_lies_between_spine_and_diaphragm(chests):
    for seed, chest in enumerate(chests):
        floor = chest.body.domes[1]
        lobe = airspace.wedge(chest, np.random.default_rng(seed), floor, 1.0) * chest.half(1)
        rows = [lobe[chest.rows(floor - height, floor - height + 1)] > 0.2 for height in (40, 10)]
        upper, lower = ((chest.across[: len(row)] * row).max() for row in rows)
        assert lower > upper + 10  # a triangle widens toward the diaphragm


def test_more_plates_and_higher_grades_are_brighter(chests):
    for seed, chest in enumerate(chests):
        mild, severe = (
            airspace.bands(chest, np.random.default_rng(seed), chest.body.domes[1], grade) for grade in (0.4, 1.0)
        )
        assert severe.sum() > mild.sum() > 0 and severe.max() <= 0.6 + 1e-6

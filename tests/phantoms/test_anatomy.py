import dataclasses

import numpy as np
import pytest

from mamsf_keras.phantoms import draw
from mamsf_keras.phantoms.anatomy import marker, outline, paint, ribs, stamp, vessel_tree, wall
from mamsf_keras.phantoms.geometry import Chest
from tests.toys import phantom_chests, phantom_spec

pytestmark = pytest.mark.no_keras


def whole(thorax, size=128, **changes):
    return Chest(dataclasses.replace(thorax.body, **changes), size)


def test_heart_is_bright_and_lungs_are_dark():
    drawn = draw(phantom_spec(1), size=128)
    chest = drawn.chest.thorax
    pixels = drawn.pixels[chest.span].astype(float)
    assert pixels[chest.heart > 0.9].mean() > pixels[chest.air > 0.9].mean() + 60


def test_air_outside_the_body_is_dark_and_the_heart_is_near_one():
    for thorax in phantom_chests(6):
        chest = whole(thorax, portable=False)
        tissue, vessels = paint(chest, np.random.default_rng(0), np.random.default_rng(1))
        assert tissue.shape == (128, 128) and tissue.dtype == np.float32
        assert tissue[chest.thorax.span][chest.thorax.heart > 0.95].mean() == pytest.approx(1, abs=0.2)
        outside = outline(chest) == 0
        outside[: len(outside) // 4] = False  # where the marker is
        assert not outside.any() or np.abs(tissue[outside]).max() < 0.15
        assert vessels.shape == chest.thorax.lungs.shape
        assert (vessels[chest.thorax.air + chest.thorax.cover == 0] == 0).all() and vessels.max() > 0.05


def test_outline_widens_from_neck_to_shoulders_and_is_symmetric():
    for thorax in phantom_chests(4):
        chest = whole(thorax, tilt=0.0, shift=(0.0, 0.0), frame=600.0)
        mask = outline(chest)
        np.testing.assert_array_equal(mask, mask[:, ::-1])
        widths = mask.sum(axis=1) * chest.pixel
        neck, shoulders = (widths[chest.rows(y, y + 1)].mean() for y in (thorax.body.top - 60, thorax.body.top + 20))
        assert neck == pytest.approx(116, abs=6)  # 58 mm each side of the midline
        assert shoulders > neck + 100


def test_breasts_brighten_only_the_lower_chest():
    for thorax in phantom_chests(4):
        women, men = (wall(whole(thorax, female=female), np.random.default_rng(0)) for female in (True, False))
        change = women - men
        assert change.min() >= -1e-6 and change.max() > 0.02
        assert (change[whole(thorax).rows(-999, -50)] == 0).all()


def test_ribs_are_bright_lines_inside_the_wall():
    for chest in phantom_chests(4):
        bones = ribs(chest)
        assert bones.min() >= 0 and bones.max() > 0.08
        assert (bones[chest.across > chest.wall + 10] == 0).all()
        column = bones[:, np.argmin(np.abs(chest.x[0] - 0.6 * chest.body.half_width))]
        crossings = np.count_nonzero(np.diff((column > 0.04).astype(int)) == 1)
        height = chest.base - chest.body.top
        assert 0.4 * height / chest.body.rib_spacing < crossings < 3 * height / chest.body.rib_spacing


def test_vessels_thin_toward_the_wall():
    central, peripheral = [], []
    for chest in phantom_chests(6):
        tree = vessel_tree(chest, np.random.default_rng(0))
        assert tree.min() >= 0 and tree.max() <= 1.6
        height = np.abs(chest.y - chest.body.top - 100) < 40
        central.append(tree[height & (chest.across > 25) & (chest.across < 50)].mean())
        peripheral.append(tree[height & (chest.across > 90) & (chest.across < 110)].mean())
    assert np.mean(central) > 1.5 * np.mean(peripheral) > 0


def test_stamp_adds_its_weight_on_a_disk():
    chest = whole(phantom_chests(1)[0], tilt=0.0)
    tissue = np.zeros((128, 128), np.float32)
    stamp(chest, tissue, 30, -20, 15, 0.5, soft=1.0)
    distance = np.hypot(chest.x - 30, chest.y + 20)
    np.testing.assert_allclose(tissue[distance < 13], 0.5)
    assert (tissue[distance > 17] == 0).all()


def test_marker_is_an_l_in_the_upper_corner_on_the_left_of_the_patient():
    for number, thorax in enumerate(phantom_chests(6)):
        tissue = np.zeros((128, 128), np.float32)
        marker(whole(thorax), tissue, np.random.default_rng(number))
        rows, columns = tissue.nonzero()
        assert rows.max() < 0.25 * 128 and columns.min() > 0.8 * 128
        letter = tissue[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] > 0
        assert letter[:, 0].all() and letter[-1].all() and not letter[0, -1]

import dataclasses

import numpy as np
import pytest

from mamsf_keras.phantoms import RadiographSpec, draw
from mamsf_keras.phantoms.geometry import SIGNS, TEXTURE, Chest, normal_body, stream
from tests.toys import phantom_chests, phantom_spec

pytestmark = pytest.mark.no_keras

MASKS = ("lungs", "heart", "mediastinum", "cover", "air")


def test_streams_are_independent_and_reproducible():
    keys = [(0, TEXTURE, 1, 0), (1, TEXTURE, 1, 0), (0, SIGNS, 1, 0), (0, TEXTURE, 2, 0), (0, TEXTURE, 1, 1)]
    draws = [stream(*key).random() for key in keys]
    assert draws == [np.random.default_rng(list(key)).random() for key in keys] and len(set(draws)) == len(keys)


def test_cardiothoracic_ratio_is_over_one_half_only_in_cardiomegaly():
    for number in range(20):
        for findings in ((), ("Edema",), ("Emphysema",), ("Cardiomegaly",), ("Emphysema", "Cardiomegaly")):
            chest = draw(phantom_spec(number, *findings), size=256).chest.thorax
            heart, lungs = (np.flatnonzero((mask > 0.5).any(0)) for mask in (chest.heart, chest.lungs))
            ratio = np.ptp(heart) / np.ptp(lungs)
            assert (ratio > 0.5) == ("Cardiomegaly" in findings), (findings, ratio)


def test_follow_ups_share_the_anatomy_of_the_patient():
    first, second = (draw(RadiographSpec(7, number, (), False, False, 350.0), size=64).chest.body for number in (0, 1))
    other = draw(RadiographSpec(8, 0, (), False, False, 350.0), size=64).chest.body
    assert (first.half_width, first.rib_slope) == (second.half_width, second.rib_slope)
    assert first.shift != second.shift
    assert first.half_width != other.half_width


def test_women_are_smaller_and_bedside_films_have_higher_diaphragms():
    def mean(name, **options):
        given = {"female": False, "portable": False, **options}
        return np.mean([getattr(normal_body(0, patient, 0, frame=350.0, **given), name) for patient in range(100)])

    assert mean("half_width", female=True) < mean("half_width") - 5
    domes = [mean("domes", portable=portable) for portable in (True, False)]
    assert domes[0] < domes[1] - 8  # y grows downward


def test_coordinates_are_millimeters_from_the_middle():
    body = dataclasses.replace(phantom_chests(1)[0].body, frame=320.0, tilt=0.0, shift=(0.0, 0.0))
    chest = Chest(body, 64)
    assert chest.pixel == 5
    np.testing.assert_allclose(chest.y[:, 0], np.arange(-157.5, 160, 5))
    np.testing.assert_allclose(chest.x[0], np.arange(-157.5, 160, 5))
    moved = Chest(dataclasses.replace(body, shift=(10.0, 20.0)), 64)
    np.testing.assert_allclose(moved.x - chest.x, -10)
    np.testing.assert_allclose(moved.y - chest.y, -20)


def test_wall_widens_from_a_quarter_to_the_whole_width():
    """A quarter at the apex; at half the depth 0.25 + 0.75 sqrt(0.75); all of it at the base and below."""
    for chest in phantom_chests(3):
        top, base, width = chest.body.top, chest.base, chest.body.half_width
        found = chest.wall_at(np.array([top - 20, top, (top + base) / 2, base, base + 20]))
        np.testing.assert_allclose(found / width, [0.25, 0.25, 0.25 + 0.75 * 0.75**0.5, 1, 1])


def test_heart_is_as_wide_as_the_ratio_says():
    for chest in phantom_chests(5, size=512):
        whole = Chest(chest.body, 4096)  # fine enough to meet both widest places
        right, left = (border.max() for border in whole.heart_borders)
        assert right + left == pytest.approx(2 * chest.body.half_width * chest.body.ratio, rel=1e-3)
        assert right / (right + left) == pytest.approx(chest.body.heart_right, rel=1e-3)


def test_masks_are_between_0_and_1_and_the_thorax_is_a_band_of_the_whole():
    for thorax in phantom_chests(5):
        chest = Chest(thorax.body, thorax.size)
        for name in MASKS:
            mask = getattr(chest, name)
            assert mask.shape == (128, 128) and mask.min() >= 0 and mask.max() <= 1 and mask.max() > 0.8
            np.testing.assert_array_equal(getattr(chest.thorax, name), mask[thorax.span])
        outside = np.ones(128, bool)
        outside[thorax.span] = False
        assert (chest.lungs[outside] == 0).all()
        np.testing.assert_array_equal(chest.half(-1) + chest.half(1), 1)
        assert (chest.half(1)[chest.x > 0] == 1).all()
        np.testing.assert_allclose(chest.air, chest.lungs * (1 - np.maximum(chest.mediastinum, 0.86 * chest.heart)))


def test_rows_and_columns_cover_the_requested_range():
    for chest in phantom_chests(5):
        for top, bottom in ((-50, 20), (0, 0.1), (-999, 999)):
            rows = chest.rows(top, bottom)
            inside = np.flatnonzero((chest.y[:, 0] >= top) & (chest.y[:, 0] <= bottom))
            assert set(inside) <= set(range(len(chest.y))[rows]) and rows.stop - rows.start <= len(inside) + 2
        columns = chest.columns(22)
        assert set(np.flatnonzero((chest.across <= 22).any(0))) <= set(range(chest.size)[columns])


def test_noise_covers_the_grid_with_the_given_grain():
    chest = phantom_chests(1)[0]
    fine, coarse = (chest.noise(np.random.default_rng(0), grain) for grain in (5, 50))
    assert fine.shape == coarse.shape == chest.lungs.shape
    assert np.abs(np.diff(fine)).mean() > 3 * np.abs(np.diff(coarse)).mean()

import numpy as np
import pytest

from mamsf_keras.phantoms.shapes import bell, bounding_box, bump, noise, ramp, smooth, stripes

pytestmark = pytest.mark.no_keras


def test_soft_steps_by_hand():
    np.testing.assert_allclose(ramp(np.array([-9.0, -2, -1, 0, 1, 2, 9]), 4), [0, 0, 0.25, 0.5, 0.75, 1, 1])
    np.testing.assert_allclose(smooth(np.array([0, 0.25, 0.5, 1])), [0, 0.15625, 0.5, 1])
    np.testing.assert_allclose(bell(np.array([0, 0.5, 1, 7])), [1, 0.25, 0, 0])
    np.testing.assert_allclose(bump(np.array([-1, -0.5, 0, 0.5, 2])), [0, 0.5625, 1, 0.5625, 0])


def test_arguments_are_not_changed():
    values = np.linspace(-2, 2, 9)
    for function in (lambda x: ramp(x, 2), smooth, bell, bump, lambda x: stripes(x, 3)):
        before = values.copy()
        function(values)
        np.testing.assert_array_equal(values, before)


def test_stripes_are_the_distance_to_the_nearest_multiple():
    assert stripes(np.array([0.0, 4.0, 9.0, 15.0]), 10.0) == pytest.approx([0, 4, 1, 5])
    positions = np.linspace(-30, 30, 101)
    nearest = np.abs(positions[:, None] - 7 * np.arange(-6, 7)).min(axis=1)
    np.testing.assert_allclose(stripes(positions, 7), nearest, atol=1e-12)


def test_noise_interpolates_random_values_smoothly():
    """At the corners of its cells the field has the values that were drawn, and halfway between them their mean."""
    field = noise(np.random.default_rng(0), (64, 64), 8)
    grid = np.random.default_rng(0).random((9, 9), dtype=np.float32) * 2 - 1
    np.testing.assert_allclose(field[::8, ::8], grid[:8, :8], atol=1e-6)
    np.testing.assert_allclose(field[::8, 4::8], (grid[:8, :8] + grid[:8, 1:]) / 2, atol=1e-6)
    np.testing.assert_allclose(field[4::8, ::8], (grid[:8, :8] + grid[1:, :8]) / 2, atol=1e-6)
    assert field.dtype == np.float32 and np.abs(field).max() <= 1
    np.testing.assert_array_equal(noise(np.random.default_rng(0), (20, 64), 8), field[:20])


def test_bounding_box_by_hand():
    visible = np.zeros((6, 8), bool)
    assert bounding_box(visible) is None
    visible[2:4, 1] = visible[3, 5] = True
    assert bounding_box(visible) == (1, 2, 5, 2)
    assert bounding_box(np.ones((6, 8), bool)) == (0, 0, 8, 6)

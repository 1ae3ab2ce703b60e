import numpy as np
import pytest

from mamsf_keras.images.augment import BRIGHTNESS, CONTRAST, ROTATION, TRANSLATION, ZOOM, light, strong


class Draws:
    """A random generator that returns given draws."""

    def __init__(self, *draws):
        self.draws = draws

    def uniform(self, low, high, size):
        assert (low, high, size) == (-1, 1, 6)
        return np.array(self.draws)


def disc(x, y, size=65, radius=6):
    rows, columns = np.mgrid[:size, :size] + 0.5
    return np.where((columns - x) ** 2 + (rows - y) ** 2 < radius**2, 200, 0).astype(np.uint8)


def center(image):
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]] + 0.5
    return (columns * image).sum() / image.sum(), (rows * image).sum() / image.sum()


def test_draws_of_zero_leave_the_image_unchanged():
    image = np.random.default_rng(0).integers(0, 256, (33, 33), dtype=np.uint8)
    np.testing.assert_array_equal(light(image, Draws(0, 0, 0, 0, 0, 0)), image)


def test_disc_moves_by_rotation_zoom_and_shift():
    x, y, middle = 45.0, 25.0, 32.5
    angle, zoom = np.deg2rad(ROTATION), 1 + ZOOM
    dx, dy = (x - middle) * zoom, (y - middle) * zoom
    turned = np.cos(angle) * dx - np.sin(angle) * dy, np.sin(angle) * dx + np.cos(angle) * dy
    expected = middle + turned[0] + TRANSLATION * 65, middle + turned[1] - TRANSLATION * 65
    moved = light(disc(x, y), Draws(1, 1, -1, 1, 0, 0))
    np.testing.assert_allclose(center(moved), expected, atol=0.2)
    assert moved.sum() / disc(x, y).sum() == pytest.approx(zoom**2, rel=0.03)


def test_contrast_and_brightness_by_hand():
    image = np.full((9, 9), 100, np.uint8)
    expected = round((100 - 127.5) * (1 + CONTRAST) + 127.5 + BRIGHTNESS)
    assert set(light(image, Draws(0, 0, 0, 0, 1, 1)).ravel()) == {expected}


def test_equal_generators_give_equal_bytes_and_sides_are_kept():
    image = disc(50, 20)
    outputs = [light(image, np.random.default_rng([7, 0, row])) for row in range(50)]
    np.testing.assert_array_equal(outputs[3], light(image, np.random.default_rng([7, 0, 3])))
    assert all(center(output)[0] > 32.5 for output in outputs)
    assert len({output.tobytes() for output in outputs}) == 50


def test_strong_keeps_shape_and_range_and_changes_pixels():
    import tensorflow as tf

    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 1), dtype=np.uint8)
    batches = tf.data.Dataset.from_tensors(images).map(strong)
    [output] = list(batches.as_numpy_iterator())
    assert output.shape == images.shape and output.dtype == np.uint8
    assert (output != images).any()

import numpy as np
import pytest
from PIL import Image

from mamsf_keras.images.augment import BRIGHTNESS, CONTRAST, ROTATION, TRANSLATION, ZOOM, light, strong, strong_layers


class Draws:
    """A random generator that returns given draws."""

    def __init__(self, *draws):
        self.draws = draws

    def uniform(self, low, high, size):
        assert (low, high, size) == (-1, 1, 6)
        return np.array(self.draws)


def disk(x, y, size=65, radius=6):
    rows, columns = np.mgrid[:size, :size] + 0.5
    return np.where((columns - x) ** 2 + (rows - y) ** 2 < radius**2, 200, 0).astype(np.uint8)


def center(image):
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]] + 0.5
    return (columns * image).sum() / image.sum(), (rows * image).sum() / image.sum()


def test_draws_of_zero_leave_the_image_unchanged():
    image = np.random.default_rng(0).integers(0, 256, (33, 33), dtype=np.uint8)
    np.testing.assert_array_equal(light(image, Draws(0, 0, 0, 0, 0, 0)), image)


def test_disk_moves_by_rotation_zoom_and_shift():
    x, y, middle = 45.0, 25.0, 32.5
    angle, zoom = np.deg2rad(ROTATION), 1 + ZOOM
    dx, dy = (x - middle) * zoom, (y - middle) * zoom
    turned = np.cos(angle) * dx - np.sin(angle) * dy, np.sin(angle) * dx + np.cos(angle) * dy
    expected = middle + turned[0] + TRANSLATION * 65, middle + turned[1] - TRANSLATION * 65
    moved = light(disk(x, y), Draws(1, 1, -1, 1, 0, 0))
    np.testing.assert_allclose(center(moved), expected, atol=0.2)
    assert moved.sum() / disk(x, y).sum() == pytest.approx(zoom**2, rel=0.03)


def test_contrast_and_brightness_by_hand():
    image = np.full((9, 9), 100, np.uint8)
    expected = round((100 - 127.5) * (1 + CONTRAST) + 127.5 + BRIGHTNESS)
    assert set(light(image, Draws(0, 0, 0, 0, 1, 1)).ravel()) == {expected}


def test_equal_generators_give_equal_bytes_and_sides_are_kept():
    image = disk(50, 20)
    outputs = [light(image, np.random.default_rng([7, 0, row])) for row in range(50)]
    np.testing.assert_array_equal(outputs[3], light(image, np.random.default_rng([7, 0, 3])))
    assert all(center(output)[0] > 32.5 for output in outputs)
    assert len({output.tobytes() for output in outputs}) == 50


@pytest.mark.parametrize("contrast", [-1, 1])
@pytest.mark.parametrize("brightness", [-1, 1])
def test_light_keeps_the_order_of_gray_levels(contrast, brightness):
    rising = light(RAMP[0, :, :, 0], Draws(0, 0, 0, 0, contrast, brightness))[0]
    assert keeps_order(rising) and rising[200] - int(rising[50]) > 100


def test_strong_keeps_shape_and_range_and_changes_pixels():
    import tensorflow as tf

    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 1), dtype=np.uint8)
    for _ in range(2):  # each phase of a run maps a new data set
        batches = tf.data.Dataset.from_tensors(images).map(strong)
        [output] = list(batches.as_numpy_iterator())
        assert output.shape == images.shape and output.dtype == np.uint8
        assert (output != images).any()


RAMP = np.tile(np.arange(256, dtype=np.uint8)[:, None], (8, 64, 1, 1))
"""Eight images `(64, 256)` whose columns go from black to white."""


def keeps_order(rising) -> bool:
    """Returns True if rising levels fall nowhere and the last is brighter than the first. They may be clipped."""
    rising = np.asarray(rising, int)
    return bool((np.diff(rising) >= 0).all() and rising[0] < rising[255])


def rows_of(images):
    """Returns the highest level of each column: that of the rows outside of the cutout."""
    return np.asarray(images)[..., 0].max(axis=1)


def test_strong_keeps_the_order_of_gray_levels():
    outputs = [row for _ in range(16) for row in rows_of(strong(RAMP))]
    assert all(keeps_order(row) for row in outputs)
    assert len({row.tobytes() for row in outputs}) > 30


def test_strong_keeps_a_flat_image_flat():
    flat = np.full((8, 32, 32, 1), 200, np.uint8)
    levels = [np.unique(image[image > 0]) for _ in range(4) for image in np.asarray(strong(flat))]
    assert {len(found) for found in levels} == {1}


def test_each_operation_of_strong_keeps_the_order_of_gray_levels():
    from keras_cv import layers

    operations = {type(layer).__name__: layer for layer in strong_layers()[0].layers}
    assert set(operations) == {"AutoContrast", "Equalization", "RandomContrast", "RandomBrightness"}
    for name, layer in operations.items():
        for _ in range(16):
            assert all(keeps_order(row) for row in rows_of(layer(RAMP.astype("float32"), training=True))), name
    inverting = layers.Solarization((0, 255), addition_factor=0, threshold_factor=(0.5, 0.5))
    assert not keeps_order(rows_of(inverting(RAMP.astype("float32"), training=True))[0])


def test_strong_keeps_radiographs_bright_where_they_are_bright(nih_dir):
    """On real images: the pixels that were brightest do not become darker than those that were darkest."""
    paths = sorted(nih_dir.rglob("images_*/**/*.png"))[:8]
    images = np.stack([np.asarray(Image.open(path).convert("L").resize((64, 64))) for path in paths])[..., None]
    for _ in range(8):
        for before, after in zip(images, np.asarray(strong(images)), strict=True):
            bright, dark = after[before >= np.quantile(before, 0.8)], after[before <= np.quantile(before, 0.2)]
            assert np.median(bright) >= np.median(dark)

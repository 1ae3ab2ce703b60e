"""Augmentation for frontal chest radiographs. There is no flip, since the side of the heart is diagnostic."""

import functools
from typing import Any

import numpy as np
from PIL import Image

ROTATION = 7.0
"""Maximum rotation in degrees, in either direction."""
TRANSLATION = 0.05
"""Maximum shift as a fraction of the side, in either direction."""
ZOOM = 0.1
"""Maximum change of scale, in either direction."""
CONTRAST = 0.15
"""Maximum change of contrast about middle gray, in either direction."""
BRIGHTNESS = 20.0
"""Maximum shift in gray levels, in either direction."""


def light(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Applies one random affine transform (rotation, translation, zoom) and one change of brightness and contrast.

    Args:
        image: uint8 `(height, width)`.
        rng: random generator for the six parameters; the same generator state gives the same bytes.

    Returns:
        uint8 `(height, width)`. Pixels from outside the image are black.
    """
    angle, right, down, zoom, contrast, brightness = rng.uniform(-1, 1, size=6)
    warped = Image.fromarray(image).transform(
        image.shape[::-1],
        Image.Transform.AFFINE,
        _inverse_affine(
            image.shape, np.deg2rad(ROTATION * angle), right * TRANSLATION, down * TRANSLATION, 1 + ZOOM * zoom
        ),
        Image.Resampling.BILINEAR,
    )
    levels = (np.arange(256) - 127.5) * (1 + CONTRAST * contrast) + 127.5 + BRIGHTNESS * brightness
    return np.clip(np.round(levels), 0, 255).astype(np.uint8)[np.asarray(warped)]


def _inverse_affine(shape, angle, right, down, zoom) -> tuple[float, ...]:
    """Returns Pillow's six coefficients, output to input, of a rotation and zoom about the center, then a shift."""
    height, width = shape
    cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
    x, y = width / 2, height / 2
    to_x, to_y = x + right * width, y + down * height
    return (cos, sin, x - cos * to_x - sin * to_y, -sin, cos, y + sin * to_x - cos * to_y)


@functools.cache
def strong_layer() -> Any:
    """Returns RandAugment of keras-cv without geometry, for `strong`. Imported here because it imports TensorFlow."""
    import keras_cv

    return keras_cv.layers.RandAugment(value_range=(0, 255), augmentations_per_image=2, magnitude=0.3, geometric=False)


def strong(images: Any) -> Any:
    """Applies RandAugment of keras-cv (without geometry) and a cutout, on top of `light`, inside `tf.data`.

    keras-cv uses stateful generators, so results are not reproducible, and a resumed run differs from an uninterrupted
    one.

    Args:
        images: uint8 tensor `(batch, height, width, 1)`.

    Returns:
        uint8 tensor of the same shape.
    """
    import keras_cv
    import tensorflow as tf

    colour = tf.repeat(tf.cast(images, tf.float32), 3, axis=-1)  # RandAugment raises on one channel
    colour = strong_layer()(colour, training=True)
    cutout = keras_cv.layers.RandomCutout(0.25, 0.25)
    grey = tf.reduce_mean(cutout(colour, training=True), axis=-1, keepdims=True)
    return tf.cast(tf.clip_by_value(tf.round(grey), 0, 255), tf.uint8)

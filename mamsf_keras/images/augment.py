"""Augmentation for frontal chest radiographs. No flip: the side of heart and hernia is a sign."""

import functools
from typing import Any

import numpy as np
from PIL import Image

ROTATION = 7.0
"""Largest rotation in degrees, each way."""
TRANSLATION = 0.05
"""Largest shift as a part of the side, each way."""
ZOOM = 0.1
"""Largest change of scale, each way."""
CONTRAST = 0.15
"""Largest change of contrast about the middle grey, each way."""
BRIGHTNESS = 20.0
"""Largest shift in grey levels, each way."""


def light(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Applies one random affine transform (rotation, translation, zoom) and one change of brightness and contrast.

    Args:
        image: uint8 `(height, width)`.
        rng: generator that the six draws are taken from; the same generator state gives the same bytes.

    Returns:
        uint8 `(height, width)`; what comes from outside the image is black.
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
    """Returns Pillow's six numbers, output to input, for a turn and zoom about the centre and a shift after it."""
    height, width = shape
    cos, sin = np.cos(angle) / zoom, np.sin(angle) / zoom
    x, y = width / 2, height / 2
    to_x, to_y = x + right * width, y + down * height
    return (cos, sin, x - cos * to_x - sin * to_y, -sin, cos, y + sin * to_x - cos * to_y)


@functools.cache
def strong_layer() -> Any:
    """Returns keras-cv's RandAugment without geometry, for `strong`: imported here since it imports TensorFlow."""
    import keras_cv

    return keras_cv.layers.RandAugment(value_range=(0, 255), augmentations_per_image=2, magnitude=0.3, geometric=False)


def strong(images: Any) -> Any:
    """Applies keras-cv's RandAugment (no geometry) and a cutout, on top of `light`, inside `tf.data`.

    keras-cv draws from stateful generators: two runs differ, so a resumed run is not a repeat of it.

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

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
def strong_layers() -> tuple[Any, Any]:
    """Returns the gray-level operations and the cutout of `strong`. keras-cv is imported here: it imports TensorFlow.

    The operations are those of RandAugment's standard policy (arXiv 1909.13719) that keep the order of gray levels:
    auto-contrast, histogram equalization, contrast and brightness. Solarization is left out, since it shows the bright
    half of a radiograph as a negative, as are color, which does nothing to gray, and the geometric operations, which
    `light` covers.
    """
    from keras_cv import layers

    levels, magnitude = (0, 255), 0.3
    operations = [
        layers.AutoContrast(levels),
        layers.Equalization(levels),
        layers.RandomContrast(levels, magnitude),
        layers.RandomBrightness(magnitude, levels),
    ]
    policy = layers.RandomAugmentationPipeline(operations, augmentations_per_image=2, rate=10 / 11)
    return policy, layers.RandomCutout(0.25, 0.25)


def strong(images: Any) -> Any:
    """Applies two random gray-level operations of keras-cv and a cutout, on top of `light`, inside `tf.data`.

    No gray-level operation changes the order of gray levels: a pixel brighter than another is never darker afterwards.
    keras-cv uses stateful generators, so results are not reproducible, and a resumed run differs from an uninterrupted
    one.

    Args:
        images: uint8 tensor `(batch, height, width, 1)`.

    Returns:
        uint8 tensor of the same shape. Pixels inside the cutout, at most a quarter of each side, are black.
    """
    import tensorflow as tf

    policy, cutout = strong_layers()
    changed = cutout(policy(tf.cast(images, tf.float32), training=True), training=True)
    return tf.cast(tf.clip_by_value(tf.round(changed), 0, 255), tf.uint8)

import hashlib

import numpy as np
import pytest

from mamsf_keras.images.pixel_hash import pixel_hash

pytestmark = pytest.mark.no_keras


def test_hash_equals_that_of_pixels_and_shape():
    pixels = np.arange(24, dtype=np.uint8).reshape(4, 6)
    assert pixel_hash(pixels) == hashlib.sha256(b"(4, 6)" + bytes(range(24))).hexdigest()
    assert pixel_hash(pixels.reshape(6, 4)) != pixel_hash(pixels)
    assert pixel_hash(np.asfortranarray(pixels)) == pixel_hash(np.tile(pixels, 2)[:, :6]) == pixel_hash(pixels)

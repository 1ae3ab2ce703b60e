"""The hash that identifies images with equal pixels. Every command uses it."""

import hashlib

import numpy as np


def pixel_hash(gray: np.ndarray) -> str:
    """Returns the SHA-256 of the pixels and shape of an image. It does not depend on the file format."""
    digest = hashlib.sha256(repr(gray.shape).encode())
    digest.update(np.ascontiguousarray(gray).data)
    return digest.hexdigest()

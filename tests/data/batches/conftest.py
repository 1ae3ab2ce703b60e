"""A stream of a cache, for the tests that read it again from the middle."""

import pytest

from mamsf_keras.data.batches.stream import Stream
from mamsf_keras.data.cache.prepare import prepare
from mamsf_keras.data.open import open_dataset


@pytest.fixture
def make_cached_stream(small_nih, tmp_path):
    """A function that makes the same stream of a cache each time."""
    cached = prepare(open_dataset(small_nih), tmp_path / "cache", 16, workers=1).split("train")
    return lambda: Stream(cached, 16, 4, augment="light", seed=7)


@pytest.fixture
def three_passes(make_cached_stream):
    """The bytes of each batch of three passes."""
    stream = make_cached_stream()
    batches = [stream.batch(step) for step in range(3 * stream.steps_per_pass)]
    return [[array.tobytes() for array in batch] for batch in batches]

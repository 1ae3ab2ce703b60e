import math

import keras
import numpy as np
import pytest

from mamsf_keras.model.decay import FROZEN, DecaySchedule, decay_at, ema


def d(schedule, updates):
    numbers = keras.ops.convert_to_tensor(np.array(schedule.numbers, np.float32))
    return float(decay_at(numbers, keras.ops.convert_to_tensor(np.float32(updates))))


def test_ema_by_hand():
    assert ema(2.0, 10.0, 0.75) == 4.0


def test_constant_decay():
    schedule = DecaySchedule(0.9)
    assert d(schedule, 0) == d(schedule, 10**6) == pytest.approx(0.9)


def test_frozen_schedule_keeps_the_shadow():
    assert d(FROZEN, 0) == d(FROZEN, 10**6) == 1


@pytest.mark.parametrize("updates", [0, 1, 20, 8_989, 8_990, 10**5])
def test_ratio_warmup(updates):
    expected = min(0.999, (1 + updates) / (10 + updates))
    assert d(DecaySchedule(0.999, "ratio"), updates) == pytest.approx(expected, rel=1e-6)


def test_power_warmup_reaches_the_published_value():
    # timm: power 2/3 reaches 0.999 after 31.6 thousand steps
    assert d(DecaySchedule(1.0, "power"), 31_622) == pytest.approx(0.999, abs=1e-6)
    assert d(DecaySchedule(0.9999, "power"), 0) == 0
    assert d(DecaySchedule(0.9, "power"), 31_622) == pytest.approx(0.9)


@pytest.mark.parametrize("updates", [0, 30, 50, 100, 150])
def test_cosine_equals_byol(updates):
    expected = 1 - (1 - 0.99) * (math.cos(math.pi * min(updates / 100, 1)) + 1) / 2
    assert d(DecaySchedule(0.99, cosine_updates=100), updates) == pytest.approx(expected, abs=1e-6)


def test_cosine_ends_at_exactly_one():
    assert d(DecaySchedule(0.99, cosine_updates=100), 100) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"decay": 1.5}, r"`decay` must be in \[0, 1\]. Received: decay=1.5."),
        ({"decay": -0.1}, "`decay` must be in"),
        ({"decay": float("nan")}, "`decay` must be in"),
        ({"decay": 0.9, "warmup": "slow"}, "`warmup` must be None, 'ratio' or 'power'. Received: warmup='slow'."),
        ({"decay": 0.9, "cosine_updates": 0}, "`cosine_updates` must be at least 1. Received: cosine_updates=0."),
    ],
)
def test_values_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        DecaySchedule(**arguments)

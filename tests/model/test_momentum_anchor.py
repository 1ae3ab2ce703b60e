import math

import keras
import numpy as np
import pytest

from mamsf_keras.model.momentum_anchor import MomentumAnchor, decay_at, ema
from tests.conftest import toy_backbone


def d(t, decay, a=0.0, gamma=1.0, power=1.0, start=0.0, rate=0.0):
    policy = np.array([decay, a, gamma, power, start, rate], np.float32)
    return float(decay_at(keras.ops.convert_to_tensor(policy), keras.ops.convert_to_tensor(np.float32(t))))


def test_ema_by_hand():
    assert ema(2.0, 10.0, 0.75) == 4.0


def test_constant_decay():
    assert d(0, 0.9) == d(10**6, 0.9) == pytest.approx(0.9)


def test_ratio_warmup():
    for t in (0, 1, 20, 10**5):
        assert d(t, 0.999, a=0.9, gamma=10) == pytest.approx(min(0.999, (1 + t) / (10 + t)), rel=1e-6)


def test_power_warmup_reaches_the_published_value():
    # timm: power 2/3 reaches 0.999 at 31.6 thousand steps
    assert d(31_622, 1, a=1, power=2 / 3) == pytest.approx(0.999, abs=1e-6)
    assert d(0, 0.9999, a=1, power=2 / 3) == 0


def test_cosine_to_one():
    for t in (0, 30, 50, 100, 150):
        byol = 1 - (1 - 0.99) * (math.cos(math.pi * min(t / 100, 1)) + 1) / 2
        assert d(t, 0.99, rate=1 / 100) == pytest.approx(byol, abs=1e-6)
    assert d(100, 0.99, rate=1 / 100) == 1


def test_before_start_the_shadow_follows():
    assert d(4, 0.9, start=5) == 0
    assert d(5, 0.999, a=0.9, gamma=10, start=5) == pytest.approx(0.1)


def test_shadow_is_an_untrained_copy():
    anchor = MomentumAnchor(toy_backbone()[1])
    for online, shadow in zip(anchor.online.weights, anchor.shadow.weights, strict=True):
        np.testing.assert_array_equal(online, shadow)
    paths = {weight.path for weight in anchor.trainable_weights}
    assert paths == {weight.path for weight in anchor.online.trainable_weights}
    assert not anchor.shadow.trainable_weights
    assert float(anchor.armed) == 0


def test_unfreezing_a_model_leaves_the_shadow_untrained():
    anchor = MomentumAnchor(toy_backbone()[1])
    before = [weight.path for weight in anchor.trainable_weights]
    model = keras.Sequential([anchor])
    model.trainable = False
    assert not anchor.trainable_weights
    model.trainable = True
    assert [weight.path for weight in anchor.trainable_weights] == before and not anchor.shadow.trainable_weights


def test_reset_copies_and_clears_the_clock():
    anchor = MomentumAnchor(toy_backbone()[1])
    for weight in anchor.online.weights:
        weight.assign(np.full(weight.shape, 2.0))
    anchor.clock.assign([1.0, 7.0])
    anchor.reset()
    assert all((np.asarray(keras.ops.convert_to_numpy(weight)) == 2).all() for weight in anchor.shadow.weights)
    assert keras.ops.convert_to_numpy(anchor.clock).tolist() == [0, 0]


def test_outputs_are_online_in_training_mode_and_shadow_in_inference_mode():
    block = toy_backbone(dropout=0.0)[1]
    anchor = MomentumAnchor(block)
    maps = np.random.default_rng(0).normal(size=(4, 8, 8, 8)).astype("float32")
    expected = keras.ops.convert_to_numpy(anchor.shadow(maps, training=False))
    online, shadow = (keras.ops.convert_to_numpy(x) for x in anchor(maps, training=True))
    np.testing.assert_array_equal(shadow, expected)
    assert np.abs(online - shadow).max() > 0.01  # batch statistics against moving statistics
    alone = keras.ops.convert_to_numpy(anchor(maps[:1], training=True)[1])
    np.testing.assert_allclose(alone, shadow[:1], atol=1e-6)


def test_config_round_trip():
    anchor = MomentumAnchor(toy_backbone()[1], name="twin")
    again = MomentumAnchor.from_config(anchor.get_config())
    assert again.name == "twin"
    assert [w.shape for w in again.shadow.weights] == [w.shape for w in anchor.shadow.weights]

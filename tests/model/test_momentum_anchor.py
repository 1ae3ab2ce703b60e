import keras
import numpy as np
import pytest

from mamsf_keras.model.decay import DecaySchedule
from mamsf_keras.model.momentum_anchor import MomentumAnchor
from tests.toys import toy_backbone

MAPS = np.random.default_rng(0).normal(size=(4, 8, 8, 8)).astype("float32")


@pytest.fixture
def anchor():
    return MomentumAnchor(toy_backbone(dropout=0.0)[1])


def values(block):
    return [keras.ops.convert_to_numpy(weight).copy() for weight in block.weights]


def fill(block, value):
    for weight in block.weights:
        weight.assign(np.full(weight.shape, value))


def counts(anchor):
    """The number of updates and the number of steps in the open accumulation window."""
    return float(anchor.update_count), float(anchor.step_count)


def test_shadow_is_an_untrained_copy(anchor):
    for online, shadow in zip(values(anchor.online), values(anchor.shadow), strict=True):
        np.testing.assert_array_equal(online, shadow)
    paths = {weight.path for weight in anchor.trainable_weights}
    assert paths == {weight.path for weight in anchor.online.trainable_weights}
    assert not anchor.shadow.trainable_weights
    assert float(anchor.tracking) == 0


def test_block_that_is_not_built_is_refused():
    block = keras.Sequential([keras.layers.Conv2D(3, 1)], name="bare")
    with pytest.raises(ValueError, match="`online` must be built, so that its shadow is a copy. Received: bare"):
        MomentumAnchor(block)


def test_unfreezing_a_model_keeps_the_shadow_untrained(anchor):
    before = [weight.path for weight in anchor.trainable_weights]
    model = keras.Sequential([anchor])
    model.trainable = False
    assert not anchor.trainable_weights
    model.trainable = True
    assert [weight.path for weight in anchor.trainable_weights] == before and not anchor.shadow.trainable_weights


def test_reset_copies_the_weights_and_clears_the_counts(anchor):
    fill(anchor.online, 2.0)
    anchor.step_count.assign(1.0)
    anchor.update_count.assign(7.0)
    anchor.reset()
    assert all((value == 2).all() for value in values(anchor.shadow))
    assert counts(anchor) == (0, 0)


def test_updates_by_hand(anchor):
    fill(anchor.online, 1.0)
    fill(anchor.shadow, 0.0)
    anchor.update_shadow()
    assert all((value == 0).all() for value in values(anchor.shadow)) and counts(anchor) == (0, 0)
    anchor.start_tracking(DecaySchedule(0.75))
    anchor.update_shadow()
    anchor.update_shadow()
    for value in values(anchor.shadow):
        np.testing.assert_allclose(value, 1 - 0.75**2, rtol=1e-6)
    assert counts(anchor) == (2, 0)
    anchor.stop_tracking()
    anchor.update_shadow()
    for value in values(anchor.shadow):
        np.testing.assert_allclose(value, 1 - 0.75**2, rtol=1e-6)
    assert counts(anchor) == (2, 0)


def test_accumulation_window_moves_the_shadow_at_its_first_step(anchor):
    """The window of three steps has one step left, so the second and the fifth step move the shadow."""
    fill(anchor.online, 1.0)
    fill(anchor.shadow, 0.0)
    anchor.start_tracking(DecaySchedule(0.5), accumulation_steps=3, step_count=2)
    moved = []
    for _ in range(5):
        anchor.update_shadow()
        moved.append(float(values(anchor.shadow)[0].flat[0]))
    assert moved == [0, 0.5, 0.5, 0.5, 0.75]
    assert counts(anchor) == (2, 1)


def test_values_that_are_not_finite_are_not_taken_in(anchor):
    fill(anchor.online, 1.0)
    fill(anchor.shadow, 0.0)
    kernel = values(anchor.online)[0]
    kernel.flat[:2] = np.nan, np.inf
    anchor.online.weights[0].assign(kernel)
    anchor.start_tracking(DecaySchedule(0.5))
    anchor.update_shadow()
    shadow = values(anchor.shadow)[0].ravel()
    assert shadow[:2].tolist() == [0, 0] and (shadow[2:] == 0.5).all()


def test_outputs_are_online_in_training_mode_and_shadow_in_inference_mode(anchor):
    expected = keras.ops.convert_to_numpy(anchor.shadow(MAPS, training=False))
    online, shadow = (keras.ops.convert_to_numpy(x) for x in anchor(MAPS, training=True))
    np.testing.assert_array_equal(shadow, expected)
    assert np.abs(online - shadow).max() > 0.01  # batch statistics against moving statistics
    alone = keras.ops.convert_to_numpy(anchor(MAPS[:1], training=True)[1])
    np.testing.assert_allclose(alone, shadow[:1], atol=1e-6)


def test_output_shapes_are_those_of_the_block(anchor):
    shapes = anchor.compute_output_shape(MAPS.shape)
    assert shapes == tuple(tuple(output.shape) for output in anchor(MAPS)) == ((4, 8, 8, 12),) * 2


def test_config_round_trip():
    anchor = MomentumAnchor(toy_backbone()[1], name="twin")
    again = MomentumAnchor.from_config(anchor.get_config())
    assert again.name == "twin"
    assert [w.shape for w in again.shadow.weights] == [w.shape for w in anchor.shadow.weights]


def test_saved_layer_keeps_shadow_counts_and_schedule_and_stops_tracking(anchor, tmp_path):
    fill(anchor.online, 1.0)
    anchor.start_tracking(DecaySchedule(0.9, "ratio"), accumulation_steps=2)
    for _ in range(3):
        anchor.update_shadow()
    inputs = keras.Input(MAPS.shape[1:])
    keras.Model(inputs, anchor(inputs)).save(tmp_path / "x.keras")
    (again,) = [
        layer for layer in keras.saving.load_model(tmp_path / "x.keras").layers if isinstance(layer, MomentumAnchor)
    ]
    for block in ("online", "shadow"):
        for one, two in zip(values(getattr(anchor, block)), values(getattr(again, block)), strict=True):
            np.testing.assert_array_equal(one, two)
    assert counts(again) == counts(anchor) == (2, 1)
    assert keras.ops.convert_to_numpy(again.schedule).tolist() == pytest.approx([0.9, 0.9, 10, 1, 0])
    assert (float(anchor.tracking), float(again.tracking)) == (1, 0)

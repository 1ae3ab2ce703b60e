import keras
import numpy as np
import pytest

from mamsf_keras.model.decay import DecaySchedule
from mamsf_keras.model.momentum_anchor import MomentumAnchor
from tests.conftest import BACKEND
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
    return float(anchor.update_count), float(anchor.step_count) % float(anchor.accumulation_steps)


def test_shadow_is_an_untrained_copy(anchor):
    for online, shadow in zip(values(anchor.online), values(anchor.shadow), strict=True):
        np.testing.assert_array_equal(online, shadow)
    paths = {weight.path for weight in anchor.trainable_weights}
    assert paths == {weight.path for weight in anchor.online.trainable_weights}
    assert not anchor.shadow.trainable_weights
    assert float(anchor.tracking) == 0


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
    """The window of three steps has one step left, so the second and the fifth step update the shadow."""
    fill(anchor.online, 1.0)
    fill(anchor.shadow, 0.0)
    anchor.start_tracking(DecaySchedule(0.5), accumulation_steps=3, step_count=2)
    moved = []
    for _ in range(5):
        anchor.update_shadow()
        moved.append(float(values(anchor.shadow)[0].flat[0]))
    assert moved == [0, 0.5, 0.5, 0.5, 0.75]
    assert counts(anchor) == (2, 1)


def test_non_finite_values_are_skipped(anchor):
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


def test_output_shapes_equal_those_of_the_block(anchor):
    shapes = anchor.compute_output_shape(MAPS.shape)
    assert shapes == tuple(tuple(output.shape) for output in anchor(MAPS)) == ((4, 8, 8, 12),) * 2


def test_config_round_trip():
    anchor = MomentumAnchor(toy_backbone()[1], name="twin")
    again = MomentumAnchor.from_config(anchor.get_config())
    assert again.name == "twin"
    assert [w.shape for w in again.shadow.weights] == [w.shape for w in anchor.shadow.weights]


def test_saved_layer_keeps_shadow_and_count_and_does_not_track(anchor, tmp_path):
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
    assert float(again.update_count) == float(anchor.update_count) == 2
    assert (float(anchor.tracking), float(again.tracking)) == (1, 0)


def test_neither_loading_nor_setting_weights_changes_the_tracking(anchor, tmp_path):
    model = keras.Sequential([keras.Input(MAPS.shape[1:]), anchor])
    model.save_weights(tmp_path / "x.weights.h5")
    before = model.get_weights()
    anchor.start_tracking(DecaySchedule(0.9), accumulation_steps=3, step_count=1)
    fill(anchor.shadow, 5.0)
    anchor.update_count.assign(7.0)
    for load in (lambda: model.load_weights(tmp_path / "x.weights.h5"), lambda: model.set_weights(before)):
        load()
        assert (float(anchor.tracking), *counts(anchor)) == (1, 0, 1)
        assert float(anchor.schedule[0]) == pytest.approx(0.9)
        np.testing.assert_array_equal(values(anchor.shadow)[0], values(anchor.online)[0])


def block_of(*layers):
    inputs = keras.Input(MAPS.shape[1:])
    outputs = inputs
    for layer in layers:
        outputs = layer(outputs)
    return keras.Model(inputs, outputs, name="block")


def difference(anchor):
    """The largest difference between the outputs of the online block and the shadow, in inference mode."""
    online, shadow = (keras.ops.convert_to_numpy(outputs) for outputs in anchor(MAPS))
    return np.abs(online - shadow).max()


def test_adapted_normalization_is_copied_and_survives_a_file(tmp_path):
    norm = keras.layers.Normalization()
    norm.adapt(10 + 3 * MAPS)
    anchor = MomentumAnchor(block_of(norm, keras.layers.Conv2D(2, 1)))
    assert difference(anchor) == 0
    model = keras.Sequential([keras.Input(MAPS.shape[1:]), anchor])
    model.compile("sgd", "mse")
    anchor.start_tracking(DecaySchedule(0.9))
    model.fit(MAPS, [np.zeros((4, 8, 8, 2), "float32")] * 2, epochs=3, verbose=0)
    expected = model.predict(MAPS, verbose=0)
    model.save(tmp_path / "x.keras")
    again = keras.saving.load_model(tmp_path / "x.keras").predict(MAPS, verbose=0)
    np.testing.assert_array_equal(again, expected)
    norm.adapt(20 + MAPS)
    anchor.start_tracking(DecaySchedule(0.9))
    anchor.online.layers[-1].set_weights(anchor.shadow.layers[-1].get_weights())
    assert difference(anchor) == 0


@keras.saving.register_keras_serializable(package="tests")
class Stateful(keras.layers.Layer):
    """Counts its training calls, has a mask, a table of integers, a generator, a metric, a loss and a regularizer."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seed = keras.random.SeedGenerator(3)
        self.mean = keras.metrics.Mean("size") if BACKEND != "jax" else None  # there Keras supports none in a layer

    def build(self, shape):
        options = {"trainable": False, "initializer": "zeros"}
        self.calls = self.add_weight((), dtype="int32", name="calls", **options)
        self.mask = self.add_weight((3,), dtype="bool", name="mask", **options)
        self.table = self.add_weight((3,), dtype="int64" if BACKEND != "jax" else "int32", name="table", **options)
        self.scale = self.add_weight((), initializer="ones", regularizer=keras.regularizers.L2(1.0), name="scale")

    def call(self, inputs, training=False):
        self.calls.assign(self.calls + 1)
        self.add_loss(keras.ops.mean(keras.ops.square(inputs)))
        if self.mean:
            self.mean.update_state(keras.ops.mean(inputs))
        return inputs * self.scale + (keras.random.normal((), seed=self.seed) if training else 0.0)


def stateful():
    return block_of(keras.layers.Conv2D(2, 1, activity_regularizer=keras.regularizers.L2(0.01)), Stateful())


def test_integers_and_booleans_are_copied():
    anchor = MomentumAnchor(stateful())
    online, shadow = (block.layers[-1] for block in (anchor.online, anchor.shadow))
    online.calls.assign(7)
    online.mask.assign([True, False, True])
    online.table.assign([5, -3, 2**30])
    online.scale.assign(3.0)
    anchor.start_tracking(DecaySchedule(0.5), accumulation_steps=2, step_count=1)
    anchor.update_shadow()
    assert int(shadow.calls) == 0
    anchor.update_shadow()
    assert int(shadow.calls) == 7 and keras.ops.convert_to_numpy(shadow.mask).tolist() == [True, False, True]
    assert keras.ops.convert_to_numpy(shadow.table).tolist() == [5, -3, 2**30]
    assert float(shadow.scale) == 2.0


def test_call_of_the_shadow_has_no_side_effects():
    keras.utils.set_random_seed(0)
    anchor = MomentumAnchor(stateful())
    online, shadow = (block.layers[-1] for block in (anchor.online, anchor.shadow))
    before = keras.ops.convert_to_numpy(shadow.seed.state).tolist()
    anchor(MAPS, training=True)
    assert (int(online.calls), int(shadow.calls)) == (1, 0)
    assert keras.ops.convert_to_numpy(shadow.seed.state).tolist() == before
    assert keras.ops.convert_to_numpy(online.seed.state).tolist() != before


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_losses_regularizers_and_metrics_count_once(run_eagerly):
    targets = np.zeros((4, 8, 8, 2), "float32")
    results = []
    block = stateful()
    inputs = keras.Input(MAPS.shape[1:])
    for outputs in (block(inputs), MomentumAnchor(block)(inputs)[0]):
        model = keras.Model(inputs, outputs)
        model.compile("sgd", "mse", run_eagerly=run_eagerly)
        results.append(model.evaluate(MAPS, targets, verbose=0, return_dict=True))
    assert results[1] == pytest.approx(results[0], rel=1e-6)
    assert BACKEND == "jax" or results[0]["size"] != 0

import keras
import numpy as np
import pytest

from mamsf_keras.model.fusion import MultiScaleFusion


def test_shapes_and_parameters():
    fusion = MultiScaleFusion(filters=4, output_filters=10)
    outputs = fusion(np.zeros((2, 5, 5, 6), "float32"))
    assert outputs.shape == (2, 5, 5, 10) == fusion.compute_output_shape((2, 5, 5, 6))
    branches = (6 * 4) + (6 * 4 + 9 * 4 * 4) + (6 * 4 + 25 * 4 * 4)
    batch_norms = 4 * (4 * 5 + 10)
    assert fusion.count_params() == branches + 3 * 4 * 10 + batch_norms


def test_receptive_field_extends_two_pixels():
    fusion = MultiScaleFusion(filters=4, output_filters=3)
    blank = np.zeros((1, 11, 11, 2), "float32")
    dot = blank.copy()
    dot[0, 5, 5] = 1.0
    change = np.abs(keras.ops.convert_to_numpy(fusion(dot) - fusion(blank)))[0].max(axis=-1)
    rows, columns = np.nonzero(change > 1e-7)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (3, 7, 3, 7)


def test_config_round_trip():
    fusion = MultiScaleFusion(filters=4, output_filters=10, kernel_sizes=(1, 7))
    assert MultiScaleFusion.from_config(fusion.get_config()).get_config() == fusion.get_config()


@pytest.mark.parametrize("sizes", [3, (), (1, 0), "135"])
def test_invalid_kernel_sizes_are_refused(sizes):
    with pytest.raises(ValueError, match="`kernel_sizes` must be a tuple of .* Received: kernel_sizes="):
        MultiScaleFusion(kernel_sizes=sizes)


def test_saved_layer_gives_the_same_outputs(tmp_path):
    maps = np.random.default_rng(0).normal(size=(2, 5, 5, 6)).astype("float32")
    model = keras.Sequential([keras.Input(maps.shape[1:]), MultiScaleFusion(4, 10, kernel_sizes=(1, 7))])
    expected = model.predict(maps, verbose=0)
    model.save(tmp_path / "x.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "x.keras").predict(maps, verbose=0), expected)


@pytest.mark.tensorflow
def test_gradient_of_the_feature_map_is_not_a_sum_of_three_terms():
    """TensorFlow adds three terms in an order that depends on the threads."""
    import tensorflow as tf

    fusion = MultiScaleFusion(filters=4, output_filters=3)
    fusion.build((2, 5, 5, 6))

    @tf.function
    def gradient(inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = tf.reduce_sum(fusion(inputs, training=True) ** 2)
        return tape.gradient(outputs, inputs)

    graph = gradient.get_concrete_function(tf.TensorSpec((2, 5, 5, 6))).graph
    sums = [op for op in graph.get_operations() if op.type == "AddN" and op.outputs[0].shape == (2, 5, 5, 6)]
    assert all(len(op.inputs) < 3 for op in sums)

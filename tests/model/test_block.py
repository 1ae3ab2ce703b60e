import keras
import numpy as np
import pytest

from mamsf_keras.model.block import check_block, check_weights, finalize
from mamsf_keras.training.build import dtype_policy
from tests.toys import toy_backbone


class Subclassed(keras.Model):
    def call(self, inputs):
        return inputs


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (keras.Sequential([keras.layers.Conv2D(3, 1)], name="bare"), "bare, a Sequential that is not built. Start it"),
        (Subclassed(name="own"), "own, a Subclassed. Wrap a layer or a subclassed model: `keras.Model"),
        (keras.layers.Conv2D(3, 1, name="conv"), "conv, a Conv2D. Wrap a layer"),
        ("efficientnetv2-s", "efficientnetv2-s, a str. Wrap a layer"),
    ],
)
def test_block_that_keras_cannot_copy_is_refused(block, message):
    with pytest.raises(ValueError, match="`online` must be a built functional or sequential Keras model") as error:
        check_block("online", block)
    assert message in str(error.value)


def test_built_blocks_pass():
    check_block("online", toy_backbone()[1])
    check_block("online", keras.Sequential([keras.Input((8, 8, 2)), keras.layers.Conv2D(3, 1)]))


@pytest.mark.parametrize("policy", ["float16", "bfloat16"])
def test_weights_in_half_precision_are_refused_by_name(policy):
    """In float16, 0.999 s + 0.001 w is s."""
    with dtype_policy(policy):
        weights = keras.Sequential([keras.Input((8, 8, 2)), keras.layers.Conv2D(3, 1, name="conv")]).weights
    with pytest.raises(ValueError, match=f"conv/kernel in {policy}. Build the block with a mixed precision policy"):
        check_weights(weights, weights)


def test_weights_that_do_not_correspond_are_refused():
    weights = toy_backbone()[1].weights
    with pytest.raises(ValueError, match="whose copies, made by `from_config`, have the same weights"):
        check_weights(weights, weights[1:])


def test_values_derived_from_weights_are_recomputed():
    norm = keras.layers.Normalization()
    model = keras.Sequential([keras.Input((2,)), norm])
    norm.set_weights([np.array([1.0, 2.0]), np.array([4.0, 4.0]), np.array(1)])
    finalize(model)
    np.testing.assert_allclose(model.predict(np.ones((1, 2)), verbose=0), [[0, -0.5]])

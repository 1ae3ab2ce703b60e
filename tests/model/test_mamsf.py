import keras
import numpy as np
import pytest

from mamsf_keras import FINDINGS, MAMSFNet, load_model
from tests.conftest import toy_backbone

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 1), dtype=np.uint8)


@pytest.mark.parametrize("anchor", [True, False])
@pytest.mark.parametrize("fusion", [True, False])
def test_saved_file_gives_the_same_outputs(tmp_path, anchor, fusion):
    model = MAMSFNet(toy_backbone(), ("Mass", "Hernia"), anchor=anchor, fusion=fusion, name="small")
    for weight in model.weights:
        weight.assign(np.random.default_rng(len(weight.path)).uniform(0.1, 1, weight.shape))
    expected = model.predict(IMAGES, verbose=0)
    model.save(tmp_path / "x.keras")
    again = load_model(tmp_path / "x.keras")
    np.testing.assert_array_equal(again.predict(IMAGES, verbose=0), expected)
    assert (again.findings, again.image_size, again.name) == (("Mass", "Hernia"), 32, "small")
    assert (again.anchor is not None, again.fusion is not None) == (anchor, fusion)
    if anchor:
        for one, two in zip(again.anchor.shadow.weights, model.anchor.shadow.weights, strict=True):
            np.testing.assert_array_equal(one, two)


def test_default_findings_and_range():
    probabilities = MAMSFNet(toy_backbone()).predict(IMAGES, verbose=0)
    assert probabilities.shape == (4, len(FINDINGS)) and probabilities.dtype == np.float32
    assert 0 < probabilities.min() and probabilities.max() < 1


def test_blocks_that_do_not_fit_are_refused():
    features, final_block = toy_backbone()
    grey = keras.Sequential([keras.Input((32, 32, 1)), keras.layers.Conv2D(8, 3)])
    for pair in ((grey, final_block), (features, grey)):
        with pytest.raises(ValueError, match="`backbone` must be two models, the first from"):
            MAMSFNet(pair)


def test_integers_and_floats_are_the_same_pixels():
    model = MAMSFNet(toy_backbone())
    np.testing.assert_array_equal(model.predict(IMAGES, verbose=0), model.predict(IMAGES.astype("float32"), verbose=0))


def test_classifier_sees_pooled_fusion_and_pooled_shadow():
    model = MAMSFNet(toy_backbone(), classifier_activation=None)
    for weight in model.anchor.shadow.weights:
        weight.assign(np.random.default_rng(len(weight.path)).uniform(0.1, 1, weight.shape))
    rgb = np.repeat(IMAGES.astype("float32"), 3, axis=-1)
    below = model.features(rgb)
    fused = keras.ops.convert_to_numpy(model.fusion(model.final_block(below))).mean(axis=(1, 2))
    shadow = keras.ops.convert_to_numpy(model.anchor.shadow(below)).mean(axis=(1, 2))
    kernel, bias = (keras.ops.convert_to_numpy(weight) for weight in model.classifier.weights)
    expected = np.concatenate([fused, shadow], axis=1) @ kernel + bias
    np.testing.assert_allclose(model.predict(IMAGES, verbose=0), expected, atol=1e-5)


def test_pixels_reach_the_preprocessing_in_float32_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        seen = []

        class Spy(keras.layers.Layer):
            def call(self, inputs):
                seen.append(keras.backend.standardize_dtype(inputs.dtype))
                return inputs

        rgb = keras.Input((32, 32, 3), dtype="float32")
        x = keras.layers.Conv2D(4, 3, strides=4)(Spy(dtype="float32")(rgb))
        block = keras.Sequential([keras.Input(x.shape[1:]), keras.layers.Conv2D(4, 1)])
        model = MAMSFNet((keras.Model(rgb, x), block))
        seen.clear()
        outputs = model(IMAGES.astype("float32") + 0.3)
    finally:
        keras.config.set_dtype_policy("float32")
    assert set(seen) == {"float32"}
    assert keras.backend.standardize_dtype(outputs.dtype) == "float32"


def test_files_that_are_none(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_model(tmp_path / "none.keras")
    (tmp_path / "text.keras").write_text("no model")
    with pytest.raises(ValueError, match="text.keras cannot be loaded as a .keras model"):
        load_model(tmp_path / "text.keras")
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(tmp_path / "other.keras")
    with pytest.raises(ValueError, match="holds a Sequential, not a MAMSFNet"):
        load_model(tmp_path / "other.keras")

import keras
import numpy as np
import pytest

from mamsf_keras import FINDINGS, MAMSFNet, load_model
from mamsf_keras.model.decay import DecaySchedule
from mamsf_keras.training.build import dtype_policy
from tests.toys import toy_backbone

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 1), dtype=np.uint8)


@pytest.mark.parametrize("anchor", [True, False])
@pytest.mark.parametrize("fusion", [True, False])
def test_saved_file_gives_the_same_outputs(tmp_path, anchor, fusion):
    model = MAMSFNet(toy_backbone(), ("Mass", "Hernia"), use_anchor=anchor, use_fusion=fusion, name="small")
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
            np.testing.assert_array_equal(*(keras.ops.convert_to_numpy(weight) for weight in (one, two)))


def test_arguments_are_attributes_and_survive_saving(tmp_path):
    backbone = toy_backbone()
    arguments = {"findings": ("B", "A"), "use_anchor": False, "use_fusion": False, "classifier_activation": None}
    model = MAMSFNet(backbone, **arguments)
    assert model.backbone == backbone == (model.features, model.final_block)
    model.save(tmp_path / "x.keras")
    for one in (model, load_model(tmp_path / "x.keras")):
        assert {name: getattr(one, name) for name in arguments} == arguments


def test_shadow_is_not_updated_after_fit_ends_or_fails():
    class Fail(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise KeyboardInterrupt

    model = MAMSFNet(toy_backbone(), ("A",), use_fusion=False)
    model.compile("sgd", "binary_crossentropy")
    model.anchor.start_tracking(DecaySchedule(0.5))
    with pytest.raises(KeyboardInterrupt):
        model.fit(IMAGES, np.ones((4, 1), "float32"), verbose=0, callbacks=[Fail()])
    assert float(model.anchor.tracking) == 0


def test_default_findings_and_range():
    probabilities = MAMSFNet(toy_backbone()).predict(IMAGES, verbose=0)
    assert probabilities.shape == (4, len(FINDINGS)) and probabilities.dtype == np.float32
    assert 0 < probabilities.min() and probabilities.max() < 1


@pytest.mark.parametrize(
    ("argument", "value"),
    [("findings", "Mass"), ("findings", ["Mass", "Mass"]), ("findings", []), ("classifier_activation", "softmax")],
)
def test_heads_that_make_no_sense_are_refused(argument, value):
    with pytest.raises(ValueError, match=rf"`{argument}` must be .* Received: {argument}="):
        MAMSFNet(toy_backbone(), **{argument: value})


def test_blocks_that_do_not_fit_are_refused():
    features, final_block = toy_backbone()
    gray = keras.Sequential([keras.Input((32, 32, 1)), keras.layers.Conv2D(8, 3)])
    for pair in ((gray, final_block), (features, gray)):
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
    seen = []

    class Spy(keras.layers.Layer):
        def call(self, inputs):
            seen.append(keras.backend.standardize_dtype(inputs.dtype))
            return inputs

    with dtype_policy("mixed_bfloat16"):
        rgb = keras.Input((32, 32, 3), dtype="float32")
        x = keras.layers.Conv2D(4, 3, strides=4)(Spy(dtype="float32")(rgb))
        block = keras.Sequential([keras.Input(x.shape[1:]), keras.layers.Conv2D(4, 1)])
        model = MAMSFNet((keras.Model(rgb, x), block))
        seen.clear()
        outputs = model(IMAGES.astype("float32") + 0.3)
    assert set(seen) == {"float32"}
    assert keras.backend.standardize_dtype(outputs.dtype) == "float32"


def test_probabilities_near_one_stay_distinct_in_float16():
    """Logits 8, 9, 10 from the model's own head; a float16 sigmoid gives 1.0 for each."""
    with dtype_policy("mixed_float16"):
        model = MAMSFNet(toy_backbone(), ("A", "B", "C"), use_fusion=False)
    assert model.final_block.layers[1].compute_dtype == "float16"
    kernel, bias = model.classifier.weights
    kernel.assign(np.zeros(kernel.shape))
    bias.assign([8.0, 9.0, 10.0])
    outputs = model.predict(IMAGES[:2], verbose=0)
    assert outputs.dtype == np.float32
    np.testing.assert_allclose(outputs[0], 1 / (1 + np.exp([-8.0, -9.0, -10.0])), rtol=1e-6)
    assert len(set(outputs[0].tolist())) == 3 and outputs.max() < 1


def test_keras_settings_have_no_effect(tmp_path, request):
    """The file is written under Keras' defaults, and read under others."""
    model = MAMSFNet(toy_backbone(), ("A", "B"))
    expected = model.predict(IMAGES, verbose=0)
    model.save(tmp_path / "x.keras")
    request.getfixturevalue("foreign_defaults")
    again = load_model(tmp_path / "x.keras")
    np.testing.assert_allclose(again.predict(IMAGES, verbose=0), expected, rtol=1e-6)
    for one in (again, MAMSFNet(again.backbone)):
        assert {weight.dtype for weight in one.weights} == {"float32"}
        layers = [*one.fusion.join.layers, *one.fusion.reduce.layers, one.pool, one.classifier]
        assert {layer.compute_dtype for layer in layers} == {"float32"}
        assert {layer.data_format for layer in layers if hasattr(layer, "data_format")} == {"channels_last"}


def test_file_keeps_the_precision_of_the_fusion(tmp_path):
    with dtype_policy("mixed_bfloat16"):
        MAMSFNet(toy_backbone(), ("A",)).save(tmp_path / "x.keras")
    assert load_model(tmp_path / "x.keras").fusion.join.layers[0].compute_dtype == "bfloat16"


class Unregistered(keras.layers.Layer):
    def call(self, inputs):
        return inputs


def test_missing_class_is_named(tmp_path):
    features, block = toy_backbone()
    MAMSFNet((features, keras.Sequential([*block.layers, Unregistered()]))).save(tmp_path / "x.keras")
    with pytest.raises(ValueError, match="x.keras cannot be loaded .* Could not locate class 'Unregistered'"):
        load_model(tmp_path / "x.keras")


@pytest.mark.parametrize("shape", [(4, 32, 32, 3), (4, 32, 32)])
def test_images_that_are_not_gray_are_refused(shape):
    with pytest.raises(
        ValueError, match=r"`images` must be gray, .* Received: shape \(\w+, 32, 32(, 3)?\). Convert RGB"
    ):
        MAMSFNet(toy_backbone()).predict(np.zeros(shape, "uint8"), verbose=0)


def test_backbone_that_is_not_a_pair_of_built_models_is_refused():
    features, block = toy_backbone()
    for wrong, message in (
        (features, "pair `\\(features, final_block\\)` of Keras models. Received: features. Cut a model in two"),
        ((features, block, block), "pair `\\(features, final_block\\)`"),
        (None, "Received: None"),
        ((features, keras.Sequential([keras.layers.Conv2D(3, 1)], name="bare")), "`final_block` must be .* bare"),
        ((keras.layers.Conv2D(3, 1, name="conv"), block), "`features` must be .* Received: conv, a Conv2D"),
    ):
        with pytest.raises(ValueError, match=message):
            MAMSFNet(wrong)


@pytest.mark.parametrize("anchor", [True, False])
def test_summary_lists_every_block_once_with_its_shape(anchor):
    model = MAMSFNet(toy_backbone(), use_anchor=anchor)
    names = ["features", "anchor" if anchor else "block", "fusion", "pool", "classifier"]
    assert [layer.name for layer in model.layers] == names
    assert sum(layer.count_params() for layer in model.layers) == model.count_params()
    lines = []
    model.summary(print_fn=lambda text, **_: lines.append(text))
    assert "?" not in "".join(lines) and ("((None, 8" if anchor else "(None, 8, 8, 12)") in "".join(lines)


def test_files_that_are_not_models_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_model(tmp_path / "none.keras")
    (tmp_path / "text.keras").write_text("no model")
    with pytest.raises(ValueError, match="text.keras cannot be loaded as a .keras model"):
        load_model(tmp_path / "text.keras")
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(tmp_path / "other.keras")
    with pytest.raises(ValueError, match="holds a Sequential, not a MAMSFNet. Use `keras.saving.load_model`"):
        load_model(tmp_path / "other.keras")

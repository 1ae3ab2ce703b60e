"""EfficientNetV2, its cuts and the registered backbones. Run as a module, it saves the outputs of model files."""

import os
import subprocess
import sys
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group

from mamsf_keras import MAMSFNet, load_model
from mamsf_keras.config import BACKBONES, CUTS, TrainConfig
from mamsf_keras.model.backbone import (
    VARIANTS,
    build_backbone,
    efficientnetv2,
    preprocessing,
    register_backbone,
)
from tests.toys import toy_backbone

FINAL_BLOCK_B0 = 825_392
FULL_B0 = 5_919_312
IMAGES = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 1), dtype=np.uint8)


@pytest.fixture(scope="module")
def b0():
    return efficientnetv2("efficientnetv2-b0", image_size=32)


@pytest.mark.parametrize("name", ["efficientnetv2-b0", "efficientnetv2-s"])
@pytest.mark.tensorflow
def test_preprocessing_equals_that_of_keras(name):
    full = VARIANTS[name](include_top=False, weights=None, input_shape=(32, 32, 3), include_preprocessing=True)
    stem = next(layer for layer in full.layers if layer.name == "stem_conv")
    images = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    expected = keras.Model(full.input, stem.input).predict(images, verbose=0)
    np.testing.assert_allclose(preprocessing(name)(images), expected, atol=2e-6)


@pytest.mark.tensorflow
def test_keras_settings_have_no_effect(b0, request):
    def configs(blocks):
        return [[layer.get_config() for layer in block.layers[1:]] for block in blocks]  # without the input layer

    pixels = IMAGES.repeat(3, axis=-1).astype("float32")
    expected = keras.ops.convert_to_numpy(b0[0].layers[1](pixels))
    request.getfixturevalue("foreign_defaults")
    features, final_block = efficientnetv2("efficientnetv2-b0", image_size=32)
    assert configs((features, final_block)) == configs(b0)
    assert [model.inputs[0].dtype for model in (features, final_block)] == ["float32"] * 2
    np.testing.assert_array_equal(features.layers[1](pixels), expected)


@pytest.mark.tensorflow  # names and counts alone: built once
def test_cut_keeps_all_layers(b0):
    features, final_block = b0
    assert final_block.count_params() == FINAL_BLOCK_B0
    assert features.count_params() + final_block.count_params() == FULL_B0
    assert [layer.name for layer in final_block.layers[1:3]] == ["block6h_expand_conv", "block6h_expand_bn"]


@pytest.mark.tensorflow  # names and counts alone: built once
@pytest.mark.parametrize(
    ("cut", "first", "parameters"),
    [
        ("head", "top_conv", 250_880),
        ("last_stage", "block6a_expand_conv", 4_527_276),
        ("whole", "stem_conv", FULL_B0),
    ],
)
def test_other_cuts(cut, first, parameters):
    features, final_block = efficientnetv2("efficientnetv2-b0", cut, image_size=32)
    assert (final_block.layers[1].name, final_block.count_params()) == (first, parameters)
    assert features.count_params() + parameters == FULL_B0


@pytest.mark.tensorflow  # names alone: built once
def test_last_stage_of_the_largest_variants_is_the_seventh():
    assert efficientnetv2("efficientnetv2-m", "last_stage", image_size=32)[1].layers[1].name == "block7a_expand_conv"


@pytest.mark.tensorflow
def test_both_parts_together_equal_the_keras_model(b0):
    features, final_block = b0
    full = VARIANTS["efficientnetv2-b0"](
        include_top=False, weights=None, input_shape=(32, 32, 3), include_preprocessing=True
    )
    ours = {weight.path: weight for weight in features.weights + final_block.weights}
    for weight in full.weights:
        if weight.path in ours:  # all but the counts of Keras' Normalization layer
            ours[weight.path].assign(weight)
    images = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    outputs = final_block.predict(features.predict(images, verbose=0), verbose=0)
    expected = full.predict(images, verbose=0)
    assert expected.std() > 0
    np.testing.assert_allclose(outputs, expected, atol=1e-3 * expected.std())


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", ["b0.weights.h5", "b0_notop.h5", "b0.keras"])
def test_weights_are_loaded_from_every_file_format(tmp_path, name):
    source = VARIANTS["efficientnetv2-b0"](include_top=False, weights=None)
    for weight in source.weights:
        weight.assign(np.random.default_rng(len(weight.path)).uniform(0.1, 1, weight.shape))
    if name.endswith("notop.h5"):  # as Keras keeps the ImageNet weights
        with h5py.File(tmp_path / name, "w") as file:
            save_weights_to_hdf5_group(file, source)
    else:
        (source.save if name.endswith(".keras") else source.save_weights)(tmp_path / name)
    features, final_block = efficientnetv2("efficientnetv2-b0", weights=tmp_path / name, image_size=32)
    saved = {weight.path: weight for weight in source.weights}
    for weight in features.weights + final_block.weights:
        np.testing.assert_array_equal(weight, saved[weight.path])


@pytest.mark.tensorflow
def test_weights_that_do_not_fit_are_refused(tmp_path):
    toy = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    toy.save_weights(tmp_path / "toy.weights.h5")
    (tmp_path / "text.weights.h5").write_text("no weights")
    for wrong in ("toy.weights.h5", "text.weights.h5"):
        with pytest.raises(ValueError, match=f"{wrong} does not fit efficientnetv2-b0 without its top"):
            efficientnetv2("efficientnetv2-b0", weights=tmp_path / wrong, image_size=32)
    with pytest.raises(FileNotFoundError, match="nowhere.h5 does not exist"):
        efficientnetv2("efficientnetv2-b0", weights=tmp_path / "nowhere.h5", image_size=32)


@pytest.mark.tensorflow
def test_failed_download_suggests_alternatives(monkeypatch):
    file = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"), "models", "efficientnetv2-b1_notop.h5")
    if file.exists():
        pytest.skip("the weights have been downloaded before")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nothing listens there
    monkeypatch.setenv("no_proxy", "")
    words = "efficientnetv2-b1 could not be downloaded. Set `weights` to a local file .* or to none for random weights"
    with pytest.raises(ConnectionError, match=words):
        efficientnetv2("efficientnetv2-b1", weights="imagenet", image_size=32)


def test_unknown_name_or_cut_lists_the_valid_ones():
    with pytest.raises(ValueError, match="must be one of efficientnetv2-b0, .*Received: backbone=resnet50"):
        efficientnetv2("resnet50")
    with pytest.raises(ValueError, match="`cut` must be one of head, final_block, last_stage, whole. .*: cut=tail"):
        efficientnetv2("efficientnetv2-b0", cut="tail")


def test_registered_backbone_is_accepted_by_the_configuration():
    seen = []

    def factory(*arguments):
        seen.append(arguments)
        return toy_backbone(arguments[3])

    register_backbone("spied toy", factory)
    register_backbone("spied toy", factory)
    assert BACKBONES.count("spied toy") == 1
    assert TrainConfig("data", backbone="spied toy").backbone == "spied toy"
    model = MAMSFNet("spied toy", ("A",))
    features, final_block = build_backbone("spied toy", "head", "weights.h5", 64)
    assert seen == [("spied toy", "final_block", None, None), ("spied toy", "head", "weights.h5", 64)]
    assert model.image_size is None and features.input_shape == (None, 64, 64, 3)
    assert features.output_shape == final_block.input_shape


@pytest.mark.tensorflow
def test_unknown_backbone_lists_the_registered_ones():
    with pytest.raises(ValueError, match="must be one of efficientnetv2-b0, .*, toy.*Received: backbone=resnet50"):
        build_backbone("resnet50")


def outputs(path):
    return load_model(path).predict(IMAGES, verbose=0)


def save_model_of_cut(path, cut):
    """Saves a model whose shadow is not the online block and whose logits spread by 1 over the images."""
    keras.utils.set_random_seed(0)
    model = MAMSFNet(efficientnetv2("efficientnetv2-b0", cut, image_size=32), ("A", "B"), classifier_activation=None)
    for weight in model.anchor.shadow.weights:
        weight.assign(keras.ops.convert_to_numpy(weight) * np.random.default_rng(1).uniform(0.5, 1.5, weight.shape))
    kernel = model.classifier.kernel
    kernel.assign(keras.ops.convert_to_numpy(kernel) / model.predict(IMAGES, verbose=0).std(axis=0))
    model.save(path)


@pytest.mark.slow
@pytest.mark.tensorflow
def test_file_of_each_cut_gives_the_same_outputs_on_every_backend(tmp_path):
    paths = [tmp_path / f"{cut}.keras" for cut in CUTS]
    for cut, path in zip(CUTS, paths, strict=True):
        save_model_of_cut(path, cut)
    for backend in ("jax", "torch"):
        command = [sys.executable, "-m", "tests.model.test_backbone", *paths]
        environment = {**os.environ, "KERAS_BACKEND": backend}
        subprocess.run(command, cwd=Path(__file__).parents[2], env=environment, check=True, capture_output=True)
    for path in paths:
        expected = outputs(path)
        assert expected.std(axis=0) == pytest.approx([1, 1], rel=1e-3)
        for backend in ("jax", "torch"):
            difference = np.abs(np.load(f"{path}.{backend}.npy") - expected).max()
            print(f"{path.stem}, {backend}: largest difference of a logit {difference:.1e}")
            assert difference < 1e-4


if __name__ == "__main__":
    for file in sys.argv[1:]:
        np.save(f"{file}.{keras.backend.backend()}.npy", outputs(file))

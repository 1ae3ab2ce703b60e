import keras
import numpy as np
import pytest

from mamsf_keras import load_model
from mamsf_keras.model.decay import DecaySchedule
from mamsf_keras.training.build import build_backbone, build_model
from mamsf_keras.training.inference_copy import InferenceCopy
from tests.runs import toy_config

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 1), dtype=np.uint8)


def model_in_training(config):
    """A compiled model of logits whose shadow differs from its online block and is tracked."""
    model = build_model(config, build_backbone(config, None), ("A", "B"), (np.array([1, 5]), np.array([5, 1])))
    model.compile("adam", "mse")
    if model.anchor:
        for weight in model.anchor.shadow.weights:
            weight.assign(np.random.default_rng(len(weight.path)).uniform(0.1, 1, weight.shape))
        model.anchor.start_tracking(DecaySchedule(0.5))
        model.anchor.update_count.assign(7.0)
    return model


@pytest.mark.parametrize("anchor", [True, False])
def test_file_gives_the_probabilities_of_the_model_under_training(tmp_path, anchor):
    config = toy_config("data", anchor=anchor)
    model = model_in_training(config)
    InferenceCopy(config, ("A", "B")).write(model, tmp_path / "x.keras")
    logits = model.predict(IMAGES, verbose=0)
    loaded = load_model(tmp_path / "x.keras")
    assert loaded.findings == ("A", "B")
    np.testing.assert_allclose(loaded.predict(IMAGES, verbose=0), 1 / (1 + np.exp(-logits)), atol=1e-6)
    assert [path.name for path in tmp_path.iterdir()] == ["x.keras"]


def test_file_has_no_optimizer_and_does_not_track_while_training_continues(tmp_path):
    config = toy_config("data", fusion=False)
    model, copy = model_in_training(config), InferenceCopy(config, ("A", "B"))
    copy.write(model, tmp_path / "x.keras")
    loaded = keras.saving.load_model(tmp_path / "x.keras")
    assert getattr(loaded, "optimizer", None) is None
    assert (float(loaded.anchor.tracking), float(loaded.anchor.update_count)) == (0, 7)
    assert (float(copy.model.anchor.tracking), float(model.anchor.tracking)) == (0, 1)
    model.classifier.bias.assign([3.0, 4.0])
    copy.write(model, tmp_path / "x.keras")
    assert keras.ops.convert_to_numpy(load_model(tmp_path / "x.keras").classifier.bias).tolist() == [3, 4]


def test_file_of_a_model_in_float16_computes_in_float32(tmp_path):
    config = toy_config("data", precision="mixed_float16", fusion=False)
    model = model_in_training(config)
    assert model.final_block.layers[1].compute_dtype == "float16"
    InferenceCopy(config, ("A", "B")).write(model, tmp_path / "x.keras")
    loaded = load_model(tmp_path / "x.keras")
    layers = [*loaded.features.layers, *loaded.final_block.layers, *loaded.anchor.shadow.layers, loaded.classifier]
    assert {layer.compute_dtype for layer in layers} == {"float32"}
    for one, two in zip(loaded.get_weights(), model.get_weights(), strict=True):
        if one.ndim:  # all but the counts of the anchor
            np.testing.assert_array_equal(one, two)

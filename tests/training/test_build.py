import keras
import numpy as np
import pytest

from mamsf_keras import TrainConfig
from mamsf_keras.training.build import (
    anchor_text,
    build_backbone,
    build_ema_callback,
    build_inference_copy,
    build_model,
    count_updates,
    dtype_policy,
    log_odds,
)
from tests.runs import toy_config
from tests.toys import toy_backbone

COUNTS = np.array([2, 0]), np.array([1, 3])


@pytest.mark.parametrize(("loss", "expected"), [("bce", [np.log(3 / 2), np.log(1 / 4)]), ("weighted-bce", [0, 0])])
def test_classifier_starts_at_the_log_odds_unless_the_loss_is_balanced(loss, expected):
    model = build_model(TrainConfig("data", loss=loss), toy_backbone(), ("A", "B"), COUNTS)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(model.classifier.bias), expected, rtol=1e-6)


def test_probability_of_the_log_odds_is_the_rate_with_one_image_of_each_class_added():
    odds = log_odds(*COUNTS)
    np.testing.assert_allclose(1 / (1 + np.exp(-odds)), [3 / 5, 1 / 5], rtol=1e-6)
    assert odds.dtype == np.float32


@pytest.mark.tensorflow
def test_dtype_policy_is_restored_after_an_error():
    with pytest.raises(KeyError), dtype_policy("mixed_float16"):
        assert keras.layers.Dense(1).compute_dtype == "float16"
        raise KeyError
    assert keras.config.dtype_policy().name == "float32" and keras.layers.Dense(1).compute_dtype == "float32"


def test_precision_reaches_every_block_but_the_head():
    config = toy_config("data", precision="mixed_bfloat16")
    model = build_model(config, build_backbone(config, None), ("A", "B"), COUNTS)
    for block in (model.features, model.final_block, model.anchor.shadow, model.fusion.join):
        assert "bfloat16" in {layer.compute_dtype for layer in block.layers}
    assert model.classifier.compute_dtype == model.pool.compute_dtype == "float32"
    assert keras.config.dtype_policy().name == "float32"


def test_inference_copy_has_the_weights_of_the_model_in_float32_and_probabilities():
    config = toy_config("data")
    model = build_model(config, build_backbone(config, None), ("A", "B"), COUNTS)
    copy = build_inference_copy(config, ("A", "B"))
    assert [weight.shape for weight in copy.weights] == [weight.shape for weight in model.weights]
    copy.set_weights(model.get_weights())
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 1), dtype=np.uint8)
    expected = 1 / (1 + np.exp(-model.predict(images, verbose=0)))
    np.testing.assert_allclose(copy.predict(images, verbose=0), expected, atol=1e-6)


@pytest.mark.tensorflow
@pytest.mark.parametrize(
    ("options", "numbers"),
    [
        ({}, (1 - 1 / 300, 0.9, 10, 1, 0)),
        ({"accumulate": 4}, (1 - 4 / 300, 0.9, 10, 1, 0)),
        ({"decay": "0.005 epochs"}, (0, 0.9, 10, 1, 0)),
        ({"decay": 0.9, "decay_schedule": "constant"}, (0.9, 0, 1, 1, 0)),
        ({"decay": 0.9, "decay_schedule": "power"}, (0.9, 1, 1, 2 / 3, 0)),
        ({"decay": 0.9, "decay_schedule": "cosine"}, (0.9, 0, 1, 1, 1 / 800)),
        ({"decay": 0.9, "decay_schedule": "cosine", "accumulate": 4}, (0.9, 0, 1, 1, 1 / 200)),
    ],
)
def test_decay_options_become_the_schedule(options, numbers):
    config = TrainConfig("data", epochs=10, freeze_epochs=2, **options)
    assert build_ema_callback(config, steps_per_epoch=100).schedule.numbers == pytest.approx(numbers)


@pytest.mark.tensorflow
def test_updates_are_counted_without_the_frozen_epochs():
    """An anchor that is called as often as the steps of a run has counted as many updates."""
    config = TrainConfig("data", epochs=4, freeze_epochs=1, accumulate=4)
    model = build_model(config, toy_backbone(), ("A", "B"), COUNTS)
    model.anchor.start_tracking(build_ema_callback(config, steps_per_epoch=6).schedule, accumulation_steps=4)
    for _ in range(3 * 6):
        model.anchor.update_shadow()
    assert count_updates(config, steps_per_epoch=6) == 4  # the fifth window is open at the end
    assert float(model.anchor.update_count) == 5


@pytest.mark.tensorflow
def test_description_of_the_anchor():
    config = TrainConfig("data", epochs=10, freeze_epochs=2, accumulate=4)
    text = anchor_text(build_ema_callback(config, 100), config, 100)
    assert text == "anchor: decay 0.986667 (an average over about 3 epochs), ratio schedule, 25 updates per epoch"
    config = TrainConfig("data", decay=0.9, decay_schedule="power")
    assert anchor_text(build_ema_callback(config, 7), config, 7) == (
        "anchor: decay 0.9, power schedule, 7 updates per epoch"
    )

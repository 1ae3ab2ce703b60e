import keras
import numpy as np
import pytest

from mamsf_keras import MAMSFNet, SelectiveEMACallback, TrainConfig
from mamsf_keras.devices import on_gpu
from mamsf_keras.training.phases import Phase, adamw, compile_for_phase, phase_of, plan_phases, resolve_jit
from tests.conftest import BACKEND
from tests.toys import toy_backbone

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (16, 32, 32, 1), dtype=np.uint8)
LABELS = (RNG.random((16, 2)) < 0.4).astype("float32")
COUNTS = (LABELS == 1).sum(axis=0), (LABELS == 0).sum(axis=0)


def values(layer):
    return [keras.ops.convert_to_numpy(weight).copy() for weight in layer.weights]


def equal(one, two):
    return all((a == b).all() for a, b in zip(one, two, strict=True))


@pytest.mark.no_keras
def test_plan_of_a_run():
    def plan(**options):
        return plan_phases(TrainConfig("data", epochs=10, learning_rate=0.5, **options))

    assert plan() == (Phase(0, 10, "bce", 0.5),)
    assert plan(freeze_epochs=2) == (Phase(0, 2, "bce", 0.5, frozen=True), Phase(2, 10, "bce", 0.5))
    assert plan(loss="ldam") == (Phase(0, 8, "ldam", 0.5), Phase(8, 10, "ldam", 0.05, reweighted=True))
    assert plan(loss="ldam", freeze_epochs=8) == (Phase(0, 8, "ldam", 0.5, frozen=True), Phase(8, 10, "ldam", 0.5))
    phases = [
        {"epochs": 1, "frozen": True},
        {"epochs": 5},
        {"epochs": 4, "loss": "ldam", "learning_rate": 0.05, "reweighted": True},
    ]
    assert plan(phases=phases) == (
        Phase(0, 1, "bce", 0.5, frozen=True),
        Phase(1, 6, "bce", 0.5),
        Phase(6, 10, "ldam", 0.05, reweighted=True),
    )


@pytest.mark.no_keras
def test_phase_of_an_epoch_has_it_between_its_first_and_its_end():
    config = TrainConfig("data", phases=[{"epochs": 2, "frozen": True}, {"epochs": 5}, {"epochs": 3}])
    assert [phase_of(config, epoch).first for epoch in range(10)] == [0] * 2 + [2] * 5 + [7] * 3


def test_backbone_learns_only_after_the_frozen_phase():
    config = TrainConfig("data", epochs=3, freeze_epochs=1, jit="auto")
    model = MAMSFNet(toy_backbone(), ("A", "B"), use_fusion=False, classifier_activation=None)
    callback = SelectiveEMACallback(0.5)
    frozen, whole = plan_phases(config)
    parts = (model.features, model.final_block, model.anchor.shadow)

    compile_for_phase(model, frozen, config, 4, COUNTS)
    before, head = [values(part) for part in parts], values(model.classifier)
    model.fit(IMAGES, LABELS, batch_size=4, epochs=frozen.end, verbose=0)
    assert all(equal(old, values(part)) for old, part in zip(before, parts, strict=True))
    assert not equal(head, values(model.classifier))
    assert float(model.anchor.update_count) == 0

    compile_for_phase(model, whole, config, 4, COUNTS)
    history = model.fit(
        IMAGES, LABELS, batch_size=4, initial_epoch=whole.first, epochs=whole.end, verbose=0, callbacks=[callback]
    )
    assert history.epoch == [1, 2]
    assert not any(equal(old, values(part)) for old, part in zip(before, parts, strict=True))
    assert float(model.anchor.update_count) == 8


@pytest.mark.parametrize("accumulate", [1, 4])
def test_half_of_the_cosine_at_half_of_the_run(accumulate):
    """Without warm-up, 8 epochs of 10 steps: half the peak halfway through the run, and 0 at its end."""
    config = TrainConfig("data", epochs=8, learning_rate=0.02, warmup=0, accumulate=accumulate)
    model = MAMSFNet(toy_backbone(), ("A", "B"), use_anchor=False, use_fusion=False, classifier_activation=None)
    compile_for_phase(model, plan_phases(config)[0], config, 10, COUNTS)
    rates = []

    class Rates(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            rates.append(float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)))

    images, labels = np.tile(IMAGES, (5, 1, 1, 1))[:40], np.tile(LABELS, (5, 1))[:40]
    model.fit(images, labels, batch_size=4, epochs=8, verbose=0, callbacks=[Rates()])
    np.testing.assert_allclose(rates, 0.01 * (1 + np.cos(np.pi * np.arange(1, 9) / 8)), rtol=1e-5, atol=1e-8)


def test_warm_up_is_linear():
    """Two of four steps: a third, then two thirds of the peak, then the peak; 0 at the end."""
    optimizer, rates = adamw(TrainConfig("data", warmup=0.5, learning_rate=9.0), 0.3, 4), []
    for step in range(5):
        optimizer.iterations.assign(step)
        rates.append(float(keras.ops.convert_to_numpy(optimizer.learning_rate)))
    np.testing.assert_allclose(rates, [0.1, 0.2, 0.3, 0.15, 0], rtol=1e-6, atol=1e-8)


def test_weight_decay_applies_only_to_kernels():
    """With gradients of 0 a kernel shrinks by rate x decay; biases and batch norms keep their values."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3), keras.layers.BatchNormalization()])
    for weight in model.trainable_weights:
        weight.assign(np.ones(weight.shape))
    optimizer = adamw(TrainConfig("data", warmup=0, weight_decay=0.5), 0.1, 10)
    optimizer.build(model.trainable_variables)
    optimizer.apply([keras.ops.zeros(weight.shape) for weight in model.trainable_weights])
    found = {weight.name: keras.ops.convert_to_numpy(weight).ravel().tolist() for weight in model.trainable_weights}
    expected = {"kernel": [0.95] * 6, "bias": [1] * 3, "gamma": [1] * 3, "beta": [1] * 3}
    assert found == {name: pytest.approx(values) for name, values in expected.items()}


def test_options_reach_the_compiled_model():
    config = TrainConfig("data", epochs=10, loss="focal", accumulate=3, clip_norm=0.25, weight_decay=0.5, jit="off")
    model = MAMSFNet(toy_backbone(), ("A", "B"), use_fusion=False, classifier_activation=None)
    compile_for_phase(model, Phase(5, 10, "weighted-bce", 0.5), config, 4, COUNTS)
    optimizer = model.optimizer
    assert (optimizer.gradient_accumulation_steps, optimizer.global_clipnorm, optimizer.weight_decay) == (3, 0.25, 0.5)
    assert model.loss.name == "weighted-bce" and not model.jit_compile
    np.testing.assert_allclose(model.loss.weights, COUNTS[1] / COUNTS[0])
    assert optimizer.built and len(optimizer.variables) > 2 * len(model.trainable_variables)


def test_xla():
    assert resolve_jit("on") and not resolve_jit("off")
    expected = {"jax": True, "tensorflow": on_gpu(), "torch": False}[BACKEND]
    assert resolve_jit("auto") == expected
    assert resolve_jit("auto", "mirrored") == (BACKEND == "jax")

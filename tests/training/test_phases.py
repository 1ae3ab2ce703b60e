import keras
import numpy as np
import pytest

from mamsf_keras import MAMSFNet, SelectiveEMACallback, TrainConfig
from mamsf_keras.training.build import anchor_callback
from mamsf_keras.training.phases import Phase, begin, phases
from tests.conftest import toy_backbone

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (16, 32, 32, 1), dtype=np.uint8)
LABELS = (RNG.random((16, 2)) < 0.4).astype("float32")
COUNTS = (LABELS == 1).sum(axis=0), (LABELS == 0).sum(axis=0)


def values(layer):
    return [keras.ops.convert_to_numpy(weight).copy() for weight in layer.weights]


def equal(one, two):
    return all((a == b).all() for a, b in zip(one, two, strict=True))


def test_phases_of_a_run():
    def laid_out(**options):
        return phases(TrainConfig("data", epochs=10, learning_rate=0.5, **options))

    assert laid_out() == (Phase(0, 10, "bce", 0.5),)
    assert laid_out(freeze_epochs=2) == (Phase(0, 2, "bce", 0.5, frozen=True), Phase(2, 10, "bce", 0.5))
    focal = laid_out(freeze_epochs=1, final_loss="focal", final_epochs=4)
    assert focal == (Phase(0, 1, "bce", 0.5, frozen=True), Phase(1, 6, "bce", 0.5), Phase(6, 10, "focal", 0.05))
    assert laid_out(loss="ldam") == (Phase(0, 8, "ldam", 0.5), Phase(8, 10, "ldam", 0.05, reweighted=True))
    assert laid_out(loss="ldam", final_epochs=0) == (Phase(0, 10, "ldam", 0.5),)


def test_frozen_backbone_stands_still_then_learns():
    config = TrainConfig("data", epochs=3, freeze_epochs=1, jit="auto")
    model = MAMSFNet(toy_backbone(), ("A", "B"), classifier_activation=None)
    callback = SelectiveEMACallback(0.5)
    frozen, whole = phases(config)
    parts = (model.features, model.final_block, model.anchor.shadow)

    begin(model, frozen, config, 4, COUNTS)
    before, head = [values(part) for part in parts], values(model.classifier)
    model.fit(IMAGES, LABELS, batch_size=4, epochs=frozen.end, verbose=0)
    assert all(equal(old, values(part)) for old, part in zip(before, parts, strict=True))
    assert not equal(head, values(model.classifier))
    assert keras.ops.convert_to_numpy(model.anchor.clock).tolist() == [0, 0]

    begin(model, whole, config, 4, COUNTS)
    history = model.fit(
        IMAGES, LABELS, batch_size=4, initial_epoch=whole.first, epochs=whole.end, verbose=0, callbacks=[callback]
    )
    assert history.epoch == [1, 2]
    assert not any(equal(old, values(part)) for old, part in zip(before, parts, strict=True))
    assert keras.ops.convert_to_numpy(model.anchor.clock).tolist() == [0, 8]


@pytest.mark.parametrize(
    ("options", "policy"),
    [
        ({}, (1 - 1 / 300, 0.9, 10, 1, 0, 0)),
        ({"decay_window_epochs": 0.005}, (0, 0.9, 10, 1, 0, 0)),
        ({"decay": 0.9, "decay_schedule": "constant"}, (0.9, 0, 1, 1, 0, 0)),
        ({"decay": 0.9, "decay_schedule": "power", "decay_start": 7}, (0.9, 1, 1, 2 / 3, 7, 0)),
        ({"decay": 0.9, "decay_schedule": "cosine", "decay_start": 50}, (0.9, 0, 1, 1, 50, 1 / 750)),
    ],
)
def test_decay_options_become_the_policy(options, policy):
    config = TrainConfig("data", epochs=10, freeze_epochs=2, **options)
    assert anchor_callback(config, steps_per_epoch=100).policy == pytest.approx(policy)


@pytest.mark.parametrize("accumulate", [1, 4])
def test_half_of_the_cosine_at_half_of_the_run(accumulate):
    """Without warm-up, 8 epochs of 10 micro-steps: half of the peak at half of the run, nothing at its end."""
    config = TrainConfig("data", epochs=8, learning_rate=0.02, warmup=0, accumulate=accumulate, jit="off")
    model = MAMSFNet(toy_backbone(), ("A", "B"), anchor=False, fusion=False, classifier_activation=None)
    begin(model, phases(config)[0], config, 10, COUNTS)
    rates = []

    class Rates(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            rates.append(float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)))

    images, labels = np.tile(IMAGES, (5, 1, 1, 1))[:40], np.tile(LABELS, (5, 1))[:40]
    model.fit(images, labels, batch_size=4, epochs=8, verbose=0, callbacks=[Rates()])
    np.testing.assert_allclose(rates, 0.01 * (1 + np.cos(np.pi * np.arange(1, 9) / 8)), rtol=1e-5, atol=1e-8)

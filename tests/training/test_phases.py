import keras
import numpy as np
import pytest

from mamsf_keras import MAMSFNet, SelectiveEMACallback, TrainConfig
from mamsf_keras.training.phases import Phase, begin, phases
from mamsf_keras.training.train import anchor_callback
from tests.conftest import toy_backbone

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (16, 32, 32, 1), dtype=np.uint8)
LABELS = (RNG.random((16, 2)) < 0.4).astype("float32")


def values(layer):
    return [keras.ops.convert_to_numpy(weight).copy() for weight in layer.weights]


def equal(one, two):
    return all((a == b).all() for a, b in zip(one, two, strict=True))


def test_phases_of_a_run():
    assert phases(TrainConfig("data", epochs=5)) == (Phase(0, 5),)
    assert phases(TrainConfig("data", epochs=5, freeze_epochs=2)) == (Phase(0, 2, frozen=True), Phase(2, 5))


def test_frozen_backbone_stands_still_then_learns():
    config = TrainConfig("data", epochs=3, freeze_epochs=1, jit="auto")
    model = MAMSFNet(toy_backbone(), ("A", "B"), classifier_activation=None)
    callback = SelectiveEMACallback(0.5)
    frozen, whole = phases(config)
    parts = (model.features, model.final_block, model.anchor.shadow)

    begin(model, frozen, config, steps_per_epoch=4)
    before, head = [values(part) for part in parts], values(model.classifier)
    model.fit(IMAGES, LABELS, batch_size=4, epochs=frozen.end, verbose=0)
    assert all(equal(old, values(part)) for old, part in zip(before, parts, strict=True))
    assert not equal(head, values(model.classifier))
    assert keras.ops.convert_to_numpy(model.anchor.clock).tolist() == [0, 0]

    begin(model, whole, config, steps_per_epoch=4)
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

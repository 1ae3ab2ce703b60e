import keras
import numpy as np
import pytest

from mamsf_keras import MAMSFNet, SelectiveEMACallback
from mamsf_keras.model.decay import DecaySchedule
from mamsf_keras.training.build import dtype_policy
from mamsf_keras.training.callbacks.anchor_metrics import AnchorMetrics, current_decay, drift
from mamsf_keras.training.losses import CellwiseBCE
from tests.toys import toy_backbone

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (8, 32, 32, 1), dtype=np.uint8)
LABELS = RNG.integers(0, 2, (8, 2)).astype("float32")


def toy_model(optimizer):
    model = MAMSFNet(toy_backbone(), ("A", "B"), use_fusion=False, classifier_activation=None)
    model.compile(optimizer, CellwiseBCE())
    return model


def fit(model, *callbacks, **options):
    return model.fit(IMAGES, LABELS, verbose=0, callbacks=list(callbacks), **options).history


class Weights(keras.callbacks.Callback):
    """Keeps all weights of the online block and of the shadow after each epoch."""

    def on_train_begin(self, logs=None):
        self.pairs = []

    def on_epoch_end(self, epoch, logs=None):
        blocks = self.model.anchor.online, self.model.anchor.shadow
        self.pairs.append([np.concatenate([w.ravel() for w in block.get_weights()]) for block in blocks])


def test_drift_by_hand():
    model = toy_model("sgd")
    assert drift(model.anchor) == 0
    for weight in model.anchor.online.weights:
        weight.assign(2 * keras.ops.convert_to_numpy(weight))
    assert drift(model.anchor) == pytest.approx(0.5)


def test_current_decay_equals_that_of_the_next_update():
    anchor = toy_model("sgd").anchor
    anchor.start_tracking(DecaySchedule(0.9, "ratio"))
    anchor.update_count.assign(20.0)
    assert current_decay(anchor) == pytest.approx(21 / 30)


def test_logs_equal_those_of_the_end_of_the_epoch():
    rates = keras.optimizers.schedules.PiecewiseConstantDecay([2, 4], [0.5, 0.25, 0.125])
    model, weights = toy_model(keras.optimizers.SGD(rates)), Weights()
    history = fit(model, SelectiveEMACallback(0.9, "ratio"), AnchorMetrics(), weights, epochs=3, batch_size=4)
    # Two steps per epoch. Keras' schedule gives the first rate up to and including step 2.
    assert history["learning_rate"] == [0.5, 0.25, 0.125]
    assert history["decay"] == pytest.approx([(1 + t) / (10 + t) for t in (2, 4, 6)])
    expected = [np.linalg.norm(online - shadow) / np.linalg.norm(online) for online, shadow in weights.pairs]
    assert history["drift"] == pytest.approx(expected, rel=1e-5) and min(expected) > 0
    assert "skipped_steps" not in history


def test_anchor_that_is_not_tracked_has_no_decay_and_no_drift():
    assert set(fit(toy_model("sgd"), AnchorMetrics())) == {"loss", "learning_rate"}


def test_steps_that_float16_skips_are_counted():
    """A skipped step changes no weight: at first the scaled gradients overflow."""
    moved = []

    class Moved(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            self.before = keras.ops.convert_to_numpy(self.model.classifier.bias).copy()

        def on_epoch_end(self, epoch, logs=None):
            now = keras.ops.convert_to_numpy(self.model.classifier.bias).copy()
            moved.append(not np.array_equal(now, self.before))
            self.before = now

    with dtype_policy("mixed_float16"):
        optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(1e-3), initial_scale=2.0**24)
        model = toy_model(optimizer)
    history = fit(model, AnchorMetrics(), Moved(), epochs=16)
    assert history["skipped_steps"] == [0 if one else 1 for one in moved]
    assert 0 < sum(history["skipped_steps"]) < 16

import keras
import numpy as np
import pytest

from mamsf_keras import MAMSFNet, SelectiveEMACallback, load_model
from mamsf_keras.model.momentum_anchor import MomentumAnchor
from mamsf_keras.training.build import dtype_policy
from mamsf_keras.training.callbacks.selective_ema import anchors_of, stop_tracking
from mamsf_keras.training.losses import CellwiseBCE
from tests.toys import toy_backbone

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (32, 32, 32, 1), dtype=np.uint8)
LABELS = (RNG.random((32, 2)) < 0.4).astype("float32")


def values(block):
    return [keras.ops.convert_to_numpy(weight).copy() for weight in block.weights]


def counts(anchor):
    """The number of updates and the number of steps in the open accumulation window."""
    return float(anchor.update_count), float(anchor.step_count) % float(anchor.accumulation_steps)


def toy_model(**options):
    keras.utils.set_random_seed(0)
    model = MAMSFNet(toy_backbone(), ("A", "B"), use_fusion=False, classifier_activation=None)
    model.compile(keras.optimizers.Adam(0.05, **options), CellwiseBCE())
    return model


class Record(keras.callbacks.Callback):
    """Keeps the online weights before the first and after each step."""

    def on_train_begin(self, logs=None):
        self.online = [values(self.model.anchor.online)]

    def on_train_batch_end(self, batch, logs=None):
        self.online.append(values(self.model.anchor.online))


def fit(model, *callbacks, epochs=1, images=32, **options):
    options = {"batch_size": 4, "shuffle": False, "verbose": 0, "callbacks": list(callbacks), **options}
    return model.fit(IMAGES[:images], LABELS[:images], epochs=epochs, **options)


def numpy_shadow(start, online, decay):
    """The written rule in float64: at step t the shadow takes in the weights as step t - 1 left them."""
    shadow = [value.astype(np.float64) for value in start]
    for t, weights in enumerate(online[:-1]):
        d = decay(t)
        shadow = [d * s + (1 - d) * w for s, w in zip(shadow, weights, strict=True)]
    return shadow


def relative_error(got, expected):
    got, expected = (np.concatenate([v.ravel() for v in x]) for x in (got, expected))
    return np.linalg.norm(got - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize(
    ("options", "decay"),
    [
        ({"decay": 0.9}, lambda t: 0.9),
        ({"decay": 0.95, "warmup": "ratio"}, lambda t: min(0.95, (1 + t) / (10 + t))),
        ({"decay": 0.95, "warmup": "power"}, lambda t: min(0.95, 1 - (1 + t) ** (-2 / 3))),
        ({"decay": 0.9, "cosine_updates": 20}, lambda t: 1 - 0.1 * (1 + np.cos(np.pi * min(t / 20, 1))) / 2),
    ],
)
def test_shadow_equals_numpy(options, decay):
    model, record = toy_model(), Record()
    for weight in model.anchor.shadow.weights:
        weight.assign(weight + 0.5)
    start = values(model.anchor.shadow)
    fit(model, SelectiveEMACallback(**options), record, epochs=4)
    assert len(record.online) == 33
    assert relative_error(values(model.anchor.shadow), numpy_shadow(start, record.online, decay)) < 1e-6
    assert relative_error(values(model.anchor.shadow), values(model.anchor.online)) > 1e-3
    assert counts(model.anchor) == (32, 0)


def test_accumulation_moves_the_shadow_once_per_window():
    model, record = toy_model(gradient_accumulation_steps=4), Record()
    start = values(model.anchor.shadow)
    fit(model, SelectiveEMACallback(0.9), record)
    # batch-norm statistics move at every step; the shadow takes them in at the first of each window
    firsts = [*record.online[:-1:4], record.online[-1]]
    assert relative_error(values(model.anchor.shadow), numpy_shadow(start, firsts, lambda t: 0.9)) < 1e-6
    assert counts(model.anchor) == (2, 0)


def test_accumulation_in_closed_form():
    model = toy_model(gradient_accumulation_steps=4)
    model.optimizer.learning_rate = 0.0
    kernel, shadow = model.anchor.online.weights[0], model.anchor.shadow.weights[0]
    kernel.assign(np.ones(kernel.shape))
    shadow.assign(np.zeros(kernel.shape))
    fit(model, SelectiveEMACallback(0.99), epochs=4)
    np.testing.assert_allclose(values(model.anchor.shadow)[0], 1 - 0.99**8, rtol=1e-6)


def test_open_window_is_carried_over_the_epoch_and_the_next_fit():
    model = toy_model(gradient_accumulation_steps=3)  # 8 steps per epoch: the first window left open has 2
    fit(model, SelectiveEMACallback(0.9))
    assert counts(model.anchor) == (3, 2)
    fit(model, SelectiveEMACallback(0.9), epochs=2)
    assert counts(model.anchor) == (8, 0)


def test_window_of_an_optimizer_that_has_not_applied_anything_yet_is_carried_over():
    model = toy_model(gradient_accumulation_steps=4)
    fit(model, SelectiveEMACallback(0.9), images=12)
    assert counts(model.anchor) == (1, 3)
    fit(model, SelectiveEMACallback(0.9), images=8)
    assert counts(model.anchor) == (2, 1)


def test_new_optimizer_starts_a_new_window():
    model = toy_model(gradient_accumulation_steps=3)
    fit(model, SelectiveEMACallback(0.9))
    model.compile(keras.optimizers.Adam(0.05, gradient_accumulation_steps=3), CellwiseBCE())
    fit(model, SelectiveEMACallback(0.9))
    assert counts(model.anchor) == (6, 2)


def does_not_move(model, action):
    before = values(model.anchor.shadow)
    action()
    return all((a == b).all() for a, b in zip(before, values(model.anchor.shadow), strict=True))


def test_shadow_does_not_move_without_the_callback_or_outside_fit():
    model = toy_model()
    assert does_not_move(model, lambda: fit(model))
    fit(model, SelectiveEMACallback(0.5))
    assert does_not_move(model, lambda: model.evaluate(IMAGES, LABELS, verbose=0))
    assert does_not_move(model, lambda: model.predict(IMAGES, verbose=0))
    assert does_not_move(model, lambda: fit(model))


class PredictAfterEachEpoch(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        self.model.predict(IMAGES, verbose=0)


def test_validation_inside_fit_does_not_update_the_shadow():
    model, record = toy_model(), Record()
    start = values(model.anchor.shadow)
    callbacks = (SelectiveEMACallback(0.9), record, PredictAfterEachEpoch())
    fit(model, *callbacks, epochs=2, validation_data=(IMAGES, LABELS))
    assert counts(model.anchor) == (16, 0)
    expected = numpy_shadow(start, record.online, lambda t: 0.9)
    assert relative_error(values(model.anchor.shadow), expected) < 1e-6


def test_decay_one_never_moves_and_a_second_fit_has_the_schedule_of_its_callback():
    model = toy_model()
    assert does_not_move(model, lambda: fit(model, SelectiveEMACallback(1.0)))
    record = Record()
    start = values(model.anchor.shadow)
    fit(model, SelectiveEMACallback(0.7), record)
    assert relative_error(values(model.anchor.shadow), numpy_shadow(start, record.online, lambda t: 0.7)) < 1e-6


def test_decay_one_affects_only_the_shadow():
    plain, anchored = toy_model(), toy_model()
    fit(plain, epochs=2)
    fit(anchored, SelectiveEMACallback(1.0), epochs=2)
    for name in ("features", "final_block", "classifier"):
        for one, two in zip(values(getattr(plain, name)), values(getattr(anchored, name)), strict=True):
            np.testing.assert_array_equal(one, two)


def test_file_saved_inside_fit_does_not_track(tmp_path):
    class SaveInside(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.save(tmp_path / "inside.keras")

    model = toy_model()
    fit(model, SelectiveEMACallback(0.5), SaveInside())
    again = load_model(tmp_path / "inside.keras")
    again.compile(keras.optimizers.Adam(0.05), CellwiseBCE())
    assert does_not_move(again, lambda: fit(again))
    assert counts(again.anchor) == (8, 0)


class Interrupt(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        raise KeyboardInterrupt


class BrokenData(keras.utils.PyDataset):
    def __len__(self):
        return 4

    def __getitem__(self, number):
        if number == 2:
            raise ValueError("a broken image")
        return IMAGES[:4], LABELS[:4]


def test_shadow_does_not_move_after_ctrl_c_or_broken_data():
    model = toy_model()
    with pytest.raises(KeyboardInterrupt):
        fit(model, SelectiveEMACallback(0.5), Interrupt())
    assert does_not_move(model, lambda: fit(model))
    with pytest.raises(Exception, match="a broken image"):
        model.fit(BrokenData(), verbose=0, callbacks=[SelectiveEMACallback(0.5)])
    assert does_not_move(model, lambda: fit(model))


@pytest.mark.parametrize("restore", [False, True])
def test_shadow_does_not_move_after_early_stopping(restore):
    model = toy_model()
    stop = keras.callbacks.EarlyStopping("loss", min_delta=1e9, restore_best_weights=restore)
    fit(model, SelectiveEMACallback(0.5), stop, epochs=5)
    assert counts(model.anchor) == (8 if restore else 16, 0)
    assert does_not_move(model, lambda: fit(model))


def test_custom_model_stops_tracking_by_a_call():
    block = toy_backbone()[1]
    inputs = keras.Input(block.input_shape[1:])
    online, shadow = MomentumAnchor(block)(inputs)
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(online + shadow))
    model.compile("sgd", "mse")
    maps, targets = np.ones((4, 8, 8, 8), "float32"), np.zeros((4, 12), "float32")
    (anchor,) = anchors_of(model)

    def shadow_does_not_move():
        before = values(anchor.shadow)
        model.fit(maps, targets, verbose=0)
        return all((one == two).all() for one, two in zip(before, values(anchor.shadow), strict=True))

    model.fit(maps, targets, verbose=0, epochs=2, callbacks=[SelectiveEMACallback(0.5)])
    assert counts(anchor) == (2, 0) and shadow_does_not_move()
    with pytest.raises(KeyboardInterrupt):
        model.fit(maps, targets, verbose=0, callbacks=[SelectiveEMACallback(0.5), Interrupt()])
    stop_tracking(model)
    assert shadow_does_not_move()


class Load(keras.callbacks.Callback):
    """Calls a function of the model after a step of the second epoch."""

    def __init__(self, load, step=1):
        super().__init__()
        self.load = load
        self.step = step

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (1, self.step):
            self.load(self.model)


@pytest.mark.parametrize("window", [None, 4])
@pytest.mark.parametrize("backup_first", [False, True])
def test_run_restored_by_backup_and_restore_equals_an_uninterrupted_one(tmp_path, backup_first, window):
    """4 epochs of 4 steps; the first `fit` fails in the third epoch, the second starts in a new model."""

    def fit_on(model, folder, *others):
        pair = [SelectiveEMACallback(0.9), keras.callbacks.BackupAndRestore(tmp_path / folder)]
        fit(model, *(pair[::-1] if backup_first else pair), *others, epochs=4, images=16)
        return model

    def model_without_dropout():
        keras.utils.set_random_seed(0)
        model = MAMSFNet(toy_backbone(dropout=0.0), ("A", "B"), use_fusion=False, classifier_activation=None)
        model.compile(keras.optimizers.Adam(0.05, gradient_accumulation_steps=window), CellwiseBCE())
        return model

    class Crash(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    expected = fit_on(model_without_dropout(), "uninterrupted")
    with pytest.raises(KeyboardInterrupt):
        fit_on(model_without_dropout(), "crashed", Crash())
    again = fit_on(model_without_dropout(), "crashed")
    for block in ("online", "shadow"):
        for one, two in zip(*(values(getattr(model.anchor, block)) for model in (expected, again)), strict=True):
            np.testing.assert_array_equal(one, two)
    assert counts(again.anchor) == counts(expected.anchor) == (4 if window else 16, 0)
    assert relative_error(values(again.anchor.shadow), values(again.anchor.online)) > 1e-3


@pytest.mark.parametrize("with_file", [False, True])
def test_weights_loaded_in_the_middle_of_an_epoch_do_not_stop_the_shadow(tmp_path, with_file):
    model, record = toy_model(), Record()
    model.save_weights(tmp_path / "start.weights.h5")
    weights = model.get_weights()

    def load(model):
        model.load_weights(tmp_path / "start.weights.h5") if with_file else model.set_weights(weights)

    start = values(model.anchor.shadow)
    fit(model, SelectiveEMACallback(0.9), Load(load), record, epochs=3)
    online = record.online[10:]  # as loaded, after 8 + 2 steps
    assert relative_error(values(model.anchor.shadow), numpy_shadow(start, online, lambda t: 0.9)) < 1e-6
    assert counts(model.anchor) == (14, 0)


class CustomModel(keras.Model):
    """Calls its anchor as often as told, always with the same `training` if told."""

    def __init__(self, calls, training):
        super().__init__()
        self.calls, self.always = calls, training
        block = toy_backbone()[1]
        self.anchor = MomentumAnchor(block, name="own_anchor")
        self.pool = keras.layers.GlobalAveragePooling2D()
        self.build(block.input_shape)

    def build(self, shape):
        self.pool.build(self.anchor.compute_output_shape(shape)[0])

    def call(self, maps, training=False):
        training = training if self.always is None else self.always
        return sum(self.pool(sum(self.anchor(maps, training=training))) for _ in range(self.calls))


def fit_custom(calls=1, training=None, **options):
    model = CustomModel(calls, training)
    model.compile("sgd", "mse", **options)
    maps, targets = np.ones((8, 8, 8, 8), "float32"), np.zeros((8, 12), "float32")

    def batches():
        for step in range(8):
            yield maps[step : step + 1], targets[step : step + 1]

    try:
        model.fit(batches(), verbose=0, callbacks=[SelectiveEMACallback(0.9)])
    finally:
        assert float(model.anchor.tracking) == 0
    return model


def test_shadow_that_is_never_updated_is_an_error():
    with pytest.raises(ValueError, match="Received: 0 calls of own_anchor in 8 steps. Pass `training` to it in `call`"):
        fit_custom(training=False)


def test_anchor_called_twice_per_step_is_an_error():
    with pytest.raises(ValueError, match="Received: 16 calls of own_anchor in 8 steps. Concatenate the inputs"):
        fit_custom(calls=2)


def test_anchor_called_once_per_step_is_accepted():
    assert counts(fit_custom().anchor) == (8, 0)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="Keras runs one step at a time on PyTorch")
def test_anchor_is_counted_in_every_step_of_an_execution():
    assert counts(fit_custom(steps_per_execution=3).anchor) == (8, 0)
    with pytest.raises(ValueError, match="Received: 16 calls"):
        fit_custom(calls=2, steps_per_execution=4)


def test_float16_overflow_corrupts_the_online_statistics_but_not_the_shadow():
    with dtype_policy("mixed_float16"):
        model = toy_model()
    for weight in model.features.weights[:1]:
        weight.assign(np.full(weight.shape, 3e4))  # the convolution's sums leave float16
    kernel = model.anchor.shadow.weights[0]
    kernel.assign(np.zeros(kernel.shape))
    fit(model, SelectiveEMACallback(0.5))
    assert not all(np.isfinite(value).all() for value in values(model.final_block))
    assert all(np.isfinite(value).all() for value in values(model.anchor.shadow))
    np.testing.assert_allclose(values(model.anchor.shadow)[0], values(model.final_block)[0], rtol=0.01)  # it moved


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decay": 1.5}, r"`decay` must be in \[0, 1\]. Received: decay=1.5."),
        ({"decay": -0.1}, "`decay` must be in"),
        ({"decay": float("nan")}, "`decay` must be in"),
        ({"warmup": "slow"}, "`warmup` must be None, 'ratio' or 'power'. Received: warmup='slow'."),
        ({"cosine_updates": 0}, "`cosine_updates` must be at least 1"),
    ],
)
def test_values_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        SelectiveEMACallback(**options)


def test_a_model_without_an_anchor_is_refused():
    model = MAMSFNet(toy_backbone(), ("A", "B"), use_anchor=False)
    model.compile("adam", "binary_crossentropy")
    with pytest.raises(ValueError, match="has none"):
        fit(model, SelectiveEMACallback())


def test_accumulation_is_seen_through_loss_scaling():
    with dtype_policy("mixed_float16"):
        model = toy_model()
        inner = keras.optimizers.Adam(0.05, gradient_accumulation_steps=4)
        model.compile(keras.optimizers.LossScaleOptimizer(inner), CellwiseBCE())
    callback = SelectiveEMACallback(0.9)
    callback.set_model(model)
    callback.on_epoch_begin(0)
    assert float(model.anchor.accumulation_steps) == 4

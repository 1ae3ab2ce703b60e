import keras
import numpy as np
import pytest

from mamsf_keras import config
from mamsf_keras.devices import temporarily
from mamsf_keras.training.losses import LOSSES, Asymmetric, CellwiseBCE, Focal, WeightedBCE, make_loss

RNG = np.random.default_rng(0)
BALANCED = [name for name, loss in LOSSES.items() if loss.balanced]
LOGITS = np.concatenate([RNG.normal(0, 3, (30, 3)), [[-50, 50, 0], [50, -50, -50]]]).astype("float32")
LABELS = np.concatenate([RNG.random((30, 3)) < 0.4, [[0, 1, 1], [0, 1, 0]]]).astype("float32")
POSITIVES, NEGATIVES = np.array([10.0, 200.0, 3.0]), np.array([990.0, 800.0, 997.0])


def reference(name, y, z, reweighted=False):
    """The formulas in NumPy's float64, log(1 - p) as log of the sigmoid of -z."""
    y, z, n1, n0 = y.astype("float64"), z.astype("float64"), POSITIVES, NEGATIVES

    def bce(z):
        return y * np.logaddexp(0, -z) + (1 - y) * np.logaddexp(0, z)

    p, not_p = 1 / (1 + np.exp(-z)), 1 / (1 + np.exp(z))
    shifted = np.maximum(p - 0.05, 0)
    asl = y * not_p * np.logaddexp(0, -z) - (1 - y) * shifted**4 * np.log(1 - shifted)
    rate = n1 / (n1 + n0)
    margins = np.stack([n1, n0]) ** -0.25
    margins *= 0.5 / margins.max()
    effective = np.stack([1 / (1 - 0.9999**n1), 1 / (1 - 0.9999**n0)])
    effective *= 2 / effective.sum(axis=0)
    ldam = bce(np.where(y == 1, z - margins[0], z + margins[1]))
    return {
        "bce": bce(z),
        "weighted-bce": bce(z) * np.where(y == 1, n0 / n1, 1),
        "focal": bce(z) * np.where(y == 1, 0.25 * not_p**2, 0.75 * p**2),
        "asl": asl,
        "weighted-asl": asl * np.where(y == 1, np.exp(1 - rate), np.exp(rate)),
        "ldam": ldam * np.where(y == 1, *effective) if reweighted else ldam,
        "bce-adjusted": bce(z + np.log(n1 / n0)),
    }[name]


@pytest.mark.no_keras
def test_every_loss_name_has_a_loss():
    assert tuple(LOSSES) == config.LOSSES
    assert BALANCED == ["weighted-bce", "bce-adjusted"]


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("reweighted", [False, True])
def test_cells_by_numpy_and_at_the_ends(name, reweighted):
    cells = make_loss(name, POSITIVES, NEGATIVES, reweighted).call(LABELS, LOGITS)
    assert keras.backend.standardize_dtype(cells.dtype) == "float32" and tuple(cells.shape) == LABELS.shape
    expected = reference(name, LABELS, LOGITS, reweighted)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(cells), expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_float16_logits_give_finite_losses_and_gradients(name):
    loss = make_loss(name, POSITIVES, NEGATIVES)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3, kernel_initializer="identity")])
    model.compile(keras.optimizers.SGD(1e-3), loss)
    assert np.isfinite(keras.ops.convert_to_numpy(loss.call(LABELS.astype("float16"), LOGITS.astype("float16")))).all()
    model.fit(LOGITS, LABELS, batch_size=32, verbose=0)
    assert np.isfinite(model.get_weights()[0]).all() and np.abs(model.get_weights()[0] - np.eye(3)).max() > 0


@pytest.mark.parametrize("name", LOSSES)
def test_gradient_by_differences(name):
    """One step of gradient descent on a bias, from logits 0 too, where a formula with |z| has another gradient."""
    loss, start = make_loss(name, POSITIVES, NEGATIVES), np.array([0.0, 1.5, -2.0], "float32")
    labels = LABELS[:20]
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3, kernel_initializer="zeros")])
    model.layers[0].bias.assign(start)
    model.compile(keras.optimizers.SGD(1.0), loss, jit_compile=False)
    model.fit(np.zeros((20, 3), "float32"), labels, batch_size=20, verbose=0)
    step = 1e-4 * np.eye(3)
    up, down = (
        [reference(name, labels, np.tile(start + sign * row, (20, 1))).mean() for row in step] for sign in (1, -1)
    )
    gradient = (np.array(up) - np.array(down)) / 2e-4
    np.testing.assert_allclose(start - model.get_weights()[1], gradient, rtol=1e-3, atol=2e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_config_round_trip(name):
    loss = make_loss(name, POSITIVES, NEGATIVES, reweighted=True)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    one, two = (keras.ops.convert_to_numpy(each.call(LABELS, LOGITS)) for each in (loss, again))
    np.testing.assert_array_equal(one, two)
    assert type(again) is type(loss) and again.name == loss.name


def test_positive_weights_count_in_every_cell():
    """Keras' `class_weight` reads a row by its largest column and gives 2.25273."""
    labels = np.array([[1, 1, 0], [0, 1, 1], [0, 0, 0], [0, 0, 1]], "float32")
    loss = WeightedBCE([1, 1, 10])(labels, np.zeros((4, 3), "float32"))
    assert float(loss) == pytest.approx(1.73287, abs=1e-5)


def test_weighted_mean_is_over_the_observed_cells():
    logits = np.full((1, 14), np.log(9), np.float32)  # p = 0.9
    labels = np.array([[1, 0] + [0] * 12], np.float32)
    weights = np.array([[7, 7] + [0] * 12], np.float32)
    assert float(CellwiseBCE()(labels, logits, sample_weight=weights)) == pytest.approx(1.20397, abs=1e-5)


def test_special_cases_are_cross_entropy():
    plain = keras.ops.convert_to_numpy(CellwiseBCE().call(LABELS, LOGITS))
    halved = keras.ops.convert_to_numpy(Focal(gamma=0.0, alpha=0.5).call(LABELS, LOGITS))
    np.testing.assert_allclose(2 * halved, plain, rtol=1e-6)
    near = keras.ops.convert_to_numpy(Asymmetric(0.0, 0.0, clip=1e-7).call(LABELS[:30], LOGITS[:30]))
    np.testing.assert_allclose(near, plain[:30], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["bce", *BALANCED])
def test_best_constant_logit(name):
    """The best constant logit, by grid search: 0 for the balanced losses, the log-odds for cross-entropy."""
    n1, n0 = np.array([20.0]), np.array([980.0])
    labels = np.repeat([[1.0], [0.0]], [20, 980], axis=0).astype("float32")
    grid = np.linspace(-6, 2, 81)
    means = [reference_mean(make_loss(name, n1, n0), labels, z) for z in grid]
    best = grid[np.argmin(means)]
    assert best == pytest.approx(0 if name in BALANCED else np.log(20 / 980), abs=0.06)


def reference_mean(loss, labels, z):
    return float(loss(labels, np.full(labels.shape, z, "float32")))


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_float32_regardless_of_keras_settings(foreign_defaults, name):
    """In float16, log p of these logits is 0 or infinite, and a margin of 0.1 is 0.09998."""
    positives, negatives = np.array([3.0, 100.0]), np.array([70000.0, 9.0])
    loss = make_loss(name, positives, negatives)
    labels, logits = np.array([[1, 0], [0, 1]], "float32"), np.array([[-30.1, 9.3], [70000.0, 0.1]], "float32")
    got = loss(labels, logits)
    assert keras.backend.standardize_dtype(got.dtype) == "float32"
    with temporarily(keras.config.floatx, keras.config.set_floatx, "float32"):
        expected = make_loss(name, positives, negatives)(labels, logits)
    assert float(got) == float(expected) and np.isfinite(float(got))

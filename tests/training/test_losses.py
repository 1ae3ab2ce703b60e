import keras
import numpy as np
import pytest

from mamsf_keras.training.losses import CellwiseBCE


def test_cells_by_numpy_and_stable_at_the_ends():
    logits = np.array([[-50.0, -2.0, 0.0], [3.0, 50.0, 1.0]], np.float32)
    labels = np.array([[0, 1, 1], [0, 1, 0]], np.float32)
    p = 1 / (1 + np.exp(-logits.astype(np.float64)))
    with np.errstate(divide="ignore"):
        expected = -np.where(labels == 1, np.log(p), np.log1p(-p))
    cells = keras.ops.convert_to_numpy(CellwiseBCE().call(labels, logits))
    np.testing.assert_allclose(cells, expected, rtol=1e-5, atol=1e-7)
    worst = keras.ops.convert_to_numpy(CellwiseBCE().call(1 - labels, logits))
    assert worst[0, 0] == pytest.approx(50) and worst[1, 1] == pytest.approx(50)


def test_weighted_mean_is_over_the_observed_cells():
    logits = np.full((1, 14), np.log(9), np.float32)  # p = 0.9
    labels = np.array([[1, 0] + [0] * 12], np.float32)
    weights = np.array([[7, 7] + [0] * 12], np.float32)
    assert float(CellwiseBCE()(labels, logits, sample_weight=weights)) == pytest.approx(1.20397, abs=1e-5)

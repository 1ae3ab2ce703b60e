import numpy as np
import pytest

from mamsf_keras.export.parity import compare


def test_figures_by_hand():
    keras = np.array([[0.2, 0.5], [0.4, 0.7]])
    parity = compare(keras, keras + [[0, 1e-5], [-2e-5, 0]])
    assert parity.difference == pytest.approx(2e-5) and parity.spread == pytest.approx(0.1)
    assert parity.share_of_spread == pytest.approx(2e-4) and parity.passes


@pytest.mark.parametrize(
    ("spread", "difference", "passes"), [(0.1, 9e-5, True), (0.1, 2e-4, False), (1e-3, 2e-5, False)]
)
def test_both_bounds_hold(spread, difference, passes):
    keras = np.array([[0.5 - spread], [0.5 + spread]])
    assert compare(keras, keras + difference).passes is passes


def test_constant_outputs_never_pass():
    assert not compare(np.full((4, 2), 0.5), np.full((4, 2), 0.5)).passes

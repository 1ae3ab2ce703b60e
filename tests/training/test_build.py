import keras
import numpy as np
import pytest

from mamsf_keras import TrainConfig
from mamsf_keras.training.build import build_model, class_counts
from tests.conftest import toy_backbone


@pytest.mark.parametrize(("loss", "expected"), [("bce", [np.log(3 / 2), np.log(1 / 4)]), ("weighted-bce", [0, 0])])
def test_classifier_starts_at_the_log_odds_unless_the_loss_is_balanced(loss, expected):
    counts = class_counts(np.array([[1, 0], [1, 0], [0, np.nan], [np.nan, 0]]))
    model = build_model(TrainConfig("data", loss=loss), toy_backbone(), ("A", "B"), counts)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(model.classifier.bias), expected, rtol=1e-6)

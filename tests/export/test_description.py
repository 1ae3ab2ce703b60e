import json

import pytest

from tests.exports import CALIBRATION, NAMES, toy_model

pytestmark = pytest.mark.tensorflow


def test_description_is_strict_json_with_coefficients_in_the_order_of_the_outputs():
    from mamsf_keras.export.description import describe
    from mamsf_keras.export.serving_module import ServingModule

    described = json.loads(json.dumps(describe(ServingModule(toy_model(), CALIBRATION)), allow_nan=False))
    assert described["findings"] == list(NAMES) and described["preprocessing"]["shape"] == ["batch", 32, 32, 1]
    assert described["calibration"] == {
        "operating_point": "youden",
        "largest_logit": 30.0,
        "findings": {
            "Mass": {"slope": 2.0, "intercept": 0.3, "threshold": 0.45},
            "Edema": {"slope": 0.5, "intercept": -1.0, "threshold": 0.5},
            "Hernia": {"slope": None, "intercept": None, "threshold": None},
        },
    }


def test_without_calibration():
    from mamsf_keras.export.description import describe
    from mamsf_keras.export.serving_module import ServingModule

    described = describe(ServingModule(toy_model()))
    assert described["calibration"] is None and set(described["outputs"]) == {"logits", "probabilities", "findings"}

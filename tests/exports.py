"""A toy model with a calibration, for the tests of exports."""

import functools

import keras
import numpy as np

from mamsf_keras.evaluation.calibration import Calibration, FindingCalibration

NAMES = ("Mass", "Edema", "Hernia")
IMAGES = np.random.default_rng(0).integers(0, 256, (70, 32, 32, 1), dtype=np.uint8)


def finding(slope, intercept, threshold):
    thresholds = {"youden": threshold, "sensitivity_90": 0.1, "f1": threshold}
    return FindingCalibration(slope, intercept, thresholds, 0.1, 5, 5, unstable=True)


CALIBRATION = Calibration(
    {"Hernia": finding(None, None, None), "Edema": finding(0.5, -1.0, 0.5), "Mass": finding(2.0, 0.3, 0.45)},
    None,
    70,
    70,
)
"""In a different order than `NAMES`; one finding has no fit."""


@functools.cache
def toy_model(size=32, **options):
    """A toy whose logits have a mean of 0 and a standard deviation of 1 over `IMAGES`. Tests do not change it."""
    from mamsf_keras import MAMSFNet
    from mamsf_keras.explain.heatmap import evidence_maps
    from tests.toys import toy_backbone

    keras.utils.set_random_seed(0)
    model = MAMSFNet(toy_backbone(size), NAMES, **options)
    for weight in model.anchor.shadow.weights if model.anchor else []:
        weight.assign(weight + 0.3)
    kernel, bias = model.classifier.kernel, model.classifier.bias
    kernel.assign(np.random.default_rng(1).normal(size=kernel.shape))
    logits = evidence_maps(model, IMAGES).logits
    kernel.assign(kernel / logits.std(axis=0))
    bias.assign(-logits.mean(axis=0) / logits.std(axis=0))
    return model


def by_hand(model, images):
    """The expected outputs, in float64 from the probabilities of Keras."""
    probabilities = model.predict(images, verbose=0).astype(float)
    logits = np.log(probabilities / (1 - probabilities))
    slope, intercept = np.array([2.0, 0.5, np.nan]), np.array([0.3, -1.0, np.nan])
    return {
        "logits": logits,
        "probabilities": probabilities,
        "calibrated": 1 / (1 + np.exp(-(slope * logits + intercept))),
        "positive": probabilities >= [0.45, 0.5, np.inf],
    }


def check_outputs(outputs, expected, atol=1e-4):
    """Compares the outputs of a predictor or a signature with the expected ones."""
    assert set(outputs) == set(expected)
    for name, value in expected.items():
        assert outputs[name].shape == value.shape, name
        np.testing.assert_allclose(outputs[name], value, rtol=0, atol=0 if name == "positive" else atol, err_msg=name)

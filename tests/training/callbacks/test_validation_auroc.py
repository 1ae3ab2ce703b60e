import keras
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mamsf_keras import MAMSFNet
from mamsf_keras.data.batches.stream import Stream
from mamsf_keras.training.callbacks.validation_auroc import ValidationAUROC, finding_log
from tests.toys import array_dataset, toy_backbone

RNG = np.random.default_rng(0)
FINDINGS = ("Mass", "Nodule", "Hernia")
IMAGES = RNG.integers(0, 256, (21, 32, 32), dtype=np.uint8)
LABELS = (RNG.random((21, 3)) < 0.4).astype("float32")
LABELS[:5, 0] = np.nan
LABELS[:, 2] = 0  # no positive image: undefined


@pytest.fixture
def callback():
    """The callback on 21 images in batches of 8, with an untrained model of logits and a record of failures."""
    keras.utils.set_random_seed(0)
    failures = []
    stream = Stream(array_dataset(IMAGES, LABELS, FINDINGS), 32, 8)
    callback = ValidationAUROC(stream, lambda *arguments: failures.append(arguments))
    callback.failures = failures
    callback.set_params({"steps": 7})
    callback.set_model(MAMSFNet(toy_backbone(), FINDINGS, use_fusion=False, classifier_activation=None))
    return callback


def test_scores_equal_scikit_learn(callback):
    logs = {"loss": 0.5}
    callback.on_epoch_end(0, logs)
    outputs = callback.model.predict(IMAGES[..., None], verbose=0)
    mass = roc_auc_score(LABELS[5:, 0], outputs[5:, 0])
    nodule = roc_auc_score(LABELS[:, 1], outputs[:, 1])
    scores = {"val_auroc": (mass + nodule) / 2, "val_auroc Mass": mass, "val_auroc Nodule": nodule}
    expected = {"loss": 0.5, "val_findings": 2, **scores}
    assert logs == pytest.approx(expected, abs=1e-9)
    assert 0 < mass < 1 and 0 < nodule < 1 and not callback.failures


def test_outputs_that_are_not_finite_fail_at_the_last_step_of_the_epoch(callback):
    callback.model.classifier.bias.assign([0.0, np.inf, 0.0])
    callback.fail = fail_at_once
    with pytest.raises(RuntimeError, match="The outputs became infinite or NaN, 6"):
        callback.on_epoch_end(0, {})


def fail_at_once(what, batch):
    raise RuntimeError(f"{what}, {batch}")


def test_log_of_a_finding_is_named_after_it():
    assert finding_log("Mass") == "val_auroc Mass"

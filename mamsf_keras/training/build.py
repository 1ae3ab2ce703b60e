"""The model of a run and the callback of its anchor, as the configuration says."""

import keras
import numpy as np

from mamsf_keras.config import TrainConfig
from mamsf_keras.model.backbone import efficientnetv2
from mamsf_keras.model.mamsf import MAMSFNet
from mamsf_keras.training.environment import temporarily
from mamsf_keras.training.losses import BALANCED
from mamsf_keras.training.selective_ema import WARMUPS, SelectiveEMACallback


def dtype_policy(name):
    """Makes a dtype policy Keras' default for a `with` block."""
    return temporarily(keras.config.dtype_policy, keras.config.set_dtype_policy, name)


def build_backbone(config: TrainConfig, weights):
    """Builds the two blocks of the backbone, with the precision of the run."""
    with dtype_policy(config.precision):
        return efficientnetv2(config.backbone, config.cut, weights, config.image_size)


def build_model(config: TrainConfig, backbone, findings, counts) -> MAMSFNet:
    """Builds the model that is trained: it gives logits.

    Its classifier starts at the log-odds of the findings, one image of each kind added, and so spends no steps on
    learning the base rates (the prior of focal loss, arXiv 1708.02002, section 4.1); not with a balanced loss, whose
    rates are even.
    """
    with dtype_policy(config.precision):
        model = MAMSFNet(backbone, findings, config.anchor, config.fusion, classifier_activation=None)
    if config.loss not in BALANCED:
        model.classifier.bias.assign(log_odds(*counts))
    return model


def build_twin(config: TrainConfig, findings) -> MAMSFNet:
    """Builds the same model in float32 with sigmoid output, for the file of a model."""
    with dtype_policy("float32"):
        backbone = efficientnetv2(config.backbone, config.cut, None, config.image_size)
        return MAMSFNet(backbone, findings, config.anchor, config.fusion)


def class_counts(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Counts positive and negative images of each finding, two arrays `(findings,)`; NaN labels count as neither."""
    return (labels == 1).sum(axis=0), (labels == 0).sum(axis=0)


def log_odds(positives, negatives) -> np.ndarray:
    """Returns the log-odds of each finding, float32 `(findings,)`, one image of each kind added."""
    return np.log((positives + 1) / (negatives + 1)).astype(np.float32)


def anchor_updates(config: TrainConfig, steps_per_epoch: int) -> int:
    """Counts the updates of the anchor in a run: one for each of the optimizer, the frozen epochs left out."""
    return (config.epochs - config.freeze_epochs) * steps_per_epoch // config.accumulate


def anchor_callback(config: TrainConfig, steps_per_epoch: int) -> SelectiveEMACallback:
    """Returns the callback that the decay options ask for; see `TrainConfig`."""
    decay, schedule = config.decay, config.decay_schedule
    if decay == "auto":
        decay = max(0.0, 1 - config.accumulate / (config.decay_window_epochs * steps_per_epoch))
    updates = anchor_updates(config, steps_per_epoch) - config.decay_start
    return SelectiveEMACallback(
        decay,
        warmup=schedule if schedule in WARMUPS else None,
        start=config.decay_start,
        cosine_updates=max(1, updates) if schedule == "cosine" else None,
    )


def anchor_text(ema: SelectiveEMACallback, config: TrainConfig, steps_per_epoch: int) -> str:
    """Says how slowly the anchor moves."""
    window = f" (about {config.decay_window_epochs:g} epochs)" if config.decay == "auto" else ""
    updates = anchor_updates(config, steps_per_epoch)
    return (
        f"anchor: decay {ema.decay:.6g}{window}, {config.decay_schedule} schedule, from update {ema.start} of "
        f"{updates}, {updates / (config.epochs - config.freeze_epochs):g} an epoch"
    )

"""The model of a run and the callback of its anchor, built from the configuration."""

import contextlib
from collections.abc import Sequence

import keras
import numpy as np

from mamsf_keras.config import TrainConfig, parse_decay
from mamsf_keras.devices import temporarily
from mamsf_keras.model import backbone as backbones
from mamsf_keras.model.decay import WARMUPS
from mamsf_keras.model.mamsf import MAMSFNet
from mamsf_keras.training.callbacks.selective_ema import SelectiveEMACallback
from mamsf_keras.training.losses import LOSSES
from mamsf_keras.training.phases import trained_epochs


def dtype_policy(name: str) -> contextlib.AbstractContextManager[None]:
    """Returns a context manager that makes a dtype policy the default of Keras."""
    return temporarily(keras.config.dtype_policy, keras.config.set_dtype_policy, name)


def build_backbone(config: TrainConfig, weights: str | None) -> backbones.Blocks:
    """Builds the two blocks of the backbone with the precision of the run."""
    with dtype_policy(config.precision):
        return backbones.build_backbone(config.backbone, config.cut, weights, config.image_size)


def build_model(
    config: TrainConfig, backbone: backbones.Blocks, findings: Sequence[str], counts: tuple[np.ndarray, np.ndarray]
) -> MAMSFNet:
    """Builds the model to train. It returns logits.

    The bias of the classifier is initialized to the log-odds of the findings, so that no steps are spent on learning
    the base rates (the prior of focal loss, arXiv 1708.02002, section 4.1). With a balanced loss it starts at 0, the
    log-odds of equal rates.

    Args:
        config: configuration of the run.
        backbone: `(features, final_block)`.
        findings: names of the outputs.
        counts: positive and negative training images of each finding, two arrays `(findings,)`.
    """
    with dtype_policy(config.precision):
        model = MAMSFNet(backbone, findings, config.anchor, config.fusion, classifier_activation=None)
    if not LOSSES[config.loss].balanced:
        model.classifier.bias.assign(log_odds(*counts))
    return model


def build_inference_copy(config: TrainConfig, findings: Sequence[str]) -> MAMSFNet:
    """Builds the same model in float32 with sigmoid output.

    It is not a clone, because a clone would keep the mixed-precision policy of every block.
    """
    with dtype_policy("float32"):
        backbone = backbones.build_backbone(config.backbone, config.cut, None, config.image_size)
        return MAMSFNet(backbone, findings, config.anchor, config.fusion)


def log_odds(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """Returns the log-odds of each finding, float32 `(findings,)`, with one image of each class added."""
    return np.log((positives + 1) / (negatives + 1)).astype(np.float32)


def count_updates(config: TrainConfig, steps_per_epoch: int) -> int:
    """Counts the updates of the anchor in a run: one per update of the optimizer, without the frozen epochs."""
    return trained_epochs(config) * steps_per_epoch // config.accumulate


def build_ema_callback(config: TrainConfig, steps_per_epoch: int) -> SelectiveEMACallback:
    """Builds the callback from the decay options; see `TrainConfig`."""
    decay, window = parse_decay(config.decay)
    if decay is None:
        assert window is not None
        decay = max(0.0, 1 - config.accumulate / (window * steps_per_epoch))
    schedule = config.decay_schedule
    return SelectiveEMACallback(
        decay,
        warmup=schedule if schedule in WARMUPS else None,
        cosine_updates=max(1, count_updates(config, steps_per_epoch)) if schedule == "cosine" else None,
    )


def anchor_text(ema: SelectiveEMACallback, config: TrainConfig, steps_per_epoch: int) -> str:
    """Describes the decay of the anchor."""
    _, window = parse_decay(config.decay)
    about = f" (an average over about {window:g} epochs)" if window else ""
    per_epoch = steps_per_epoch / config.accumulate
    return f"anchor: decay {ema.decay:.6g}{about}, {config.decay_schedule} schedule, {per_epoch:g} updates per epoch"

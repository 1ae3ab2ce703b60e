"""The phases of a run. Each has its own optimizer, learning-rate schedule and compiled step."""

import dataclasses

import keras
import numpy as np

from mamsf_keras.config import PhaseConfig, TrainConfig
from mamsf_keras.devices import on_gpu
from mamsf_keras.model.mamsf import MAMSFNet
from mamsf_keras.training.losses import make_loss

FINAL_RATE = 0.1
"""Learning rate of the final phase of LDAM, relative to that of the others."""


@dataclasses.dataclass(frozen=True)
class Phase:
    """Consecutive epochs with the same settings and one compiled step. Any change of settings starts a new phase.

    Attributes:
        first: first epoch, counted from 0.
        end: epoch after the last one.
        loss: name of the loss.
        learning_rate: peak learning rate.
        frozen: whether the backbone is frozen, so that only the fusion and the classifier learn.
        reweighted: whether LDAM's deferred re-weighting is on.
    """

    first: int
    end: int
    loss: str
    learning_rate: float
    frozen: bool = False
    reweighted: bool = False


def plan_phases(config: TrainConfig) -> tuple[Phase, ...]:
    """Plans the epochs of a run: its `phases`, or else the frozen epochs followed by the unfrozen ones.

    With LDAM and without `phases`, the last fifth of the unfrozen epochs is a separate phase, re-weighted and at a
    tenth of the learning rate.
    """
    planned, first = [], 0
    for phase in config.phases or _default_phases(config):
        loss, learning_rate = phase.loss or config.loss, phase.learning_rate or config.learning_rate
        end = first + phase.epochs
        planned.append(Phase(first, end, loss, learning_rate, phase.frozen, phase.reweighted))
        first = end
    return tuple(planned)


def _default_phases(config) -> list[PhaseConfig]:
    trained = config.epochs - config.freeze_epochs
    final = round(trained / 5) if config.loss == "ldam" else 0
    phases = [PhaseConfig(config.freeze_epochs, frozen=True)] if config.freeze_epochs else []
    phases += [PhaseConfig(trained - final)]
    if final:
        phases += [PhaseConfig(final, learning_rate=FINAL_RATE * config.learning_rate, reweighted=True)]
    return phases


def trained_epochs(config: TrainConfig) -> int:
    """Counts the epochs in which the backbone is trained and the anchor is tracked."""
    return sum(phase.end - phase.first for phase in plan_phases(config) if not phase.frozen)


def phase_of(config: TrainConfig, epoch: int) -> Phase:
    """Returns the phase of an epoch, counted from 0."""
    return next(phase for phase in plan_phases(config) if epoch < phase.end)


def compile_for_phase(
    model: MAMSFNet, phase: Phase, config: TrainConfig, steps_per_epoch: int, counts: tuple[np.ndarray, np.ndarray]
) -> None:
    """Compiles a `MAMSFNet` for a phase, with a new optimizer.

    Batch norm in a frozen backbone runs in inference mode, and its statistics do not move.

    Args:
        model: a model that returns logits.
        phase: what to train and how.
        config: configuration of the run.
        steps_per_epoch: steps per epoch.
        counts: positive and negative training images of each finding, two arrays `(findings,)`.
    """
    model.features.trainable = not phase.frozen
    model.final_block.trainable = not phase.frozen
    model.compile(
        adamw(config, phase.learning_rate, (phase.end - phase.first) * steps_per_epoch),
        make_loss(phase.loss, *counts, phase.reweighted),
        jit_compile=resolve_jit(config.jit, config.distribute),
        steps_per_execution=config.steps_per_execution,
    )
    model.optimizer.build(model.trainable_variables)  # otherwise TensorFlow traces the step twice: 50 s on two cores


def adamw(config: TrainConfig, learning_rate: float, steps: int) -> keras.optimizers.AdamW:
    """Returns AdamW with warm-up, cosine decay to 0 over `steps`, gradient clipping, and weight decay on kernels only.

    With gradient accumulation, Keras' schedules count steps, not updates, and so does `steps`.
    """
    warmup = max(1, round(config.warmup * steps)) if config.warmup else 0
    schedule = keras.optimizers.schedules.CosineDecay(
        learning_rate / (warmup + 1) if warmup else learning_rate,  # from 0, the first step would do nothing
        max(1, steps - warmup),
        warmup_target=learning_rate if warmup else None,
        warmup_steps=warmup,
    )
    optimizer = keras.optimizers.AdamW(
        schedule,
        weight_decay=config.weight_decay,
        global_clipnorm=config.clip_norm,
        gradient_accumulation_steps=config.accumulate if config.accumulate > 1 else None,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def resolve_jit(jit: str, distribute: str = "none") -> bool:
    """Returns True if XLA is used. "auto" enables it for JAX, and for TensorFlow on a GPU (on a CPU it is 2.3 times
    slower).

    TensorFlow's `MirroredStrategy` does not support XLA.
    """
    if jit != "auto":
        return jit == "on"
    backend = keras.backend.backend()
    return backend == "jax" or (backend == "tensorflow" and distribute != "mirrored" and on_gpu())

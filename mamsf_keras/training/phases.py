"""The phases of a run: each has an optimizer, a schedule and a compiled step of its own."""

import dataclasses

import keras

from mamsf_keras.config import TrainConfig
from mamsf_keras.training.environment import on_gpu
from mamsf_keras.training.losses import make_loss

FINAL_RATE = 0.1
"""The learning rate of the final phase, as a part of that of the others."""


@dataclasses.dataclass(frozen=True)
class Phase:
    """A part of a run. Nothing of it changes inside a compiled step: what must change begins another phase.

    Attributes:
        first: its first epoch, counted from 0.
        end: the epoch after its last.
        loss: name of its loss.
        rate: its peak learning rate.
        frozen: whether the backbone is frozen, so that only the fusion and the classifier learn.
        reweighted: whether LDAM's deferred re-weighting is on.
    """

    first: int
    end: int
    loss: str
    rate: float
    frozen: bool = False
    reweighted: bool = False


def phases(config: TrainConfig) -> tuple[Phase, ...]:
    """Lays out the epochs of a run: the frozen ones, the main ones, the final ones."""
    frozen, final = config.freeze_epochs, config.final_epochs
    if final is None:
        final = round((config.epochs - frozen) / 5) if config.loss == "ldam" else 0
    end, rate = config.epochs - final, config.learning_rate
    last = config.final_loss or config.loss
    laid_out = (
        Phase(0, frozen, config.loss, rate, frozen=True),
        Phase(frozen, end, config.loss, rate),
        Phase(end, config.epochs, last, FINAL_RATE * rate, reweighted=last == "ldam"),
    )
    return tuple(phase for phase in laid_out if phase.first < phase.end)


def phase_of(config: TrainConfig, epoch: int) -> Phase:
    """Returns the phase of an epoch, counted from 0."""
    return next(phase for phase in phases(config) if epoch < phase.end)


def begin(model, phase: Phase, config: TrainConfig, steps_per_epoch: int, counts):
    """Compiles a `MAMSFNet` for a phase, with a new optimizer.

    Batch norm in a frozen backbone runs in inference mode, and its statistics stand still.

    Args:
        model: gives logits.
        phase: what is trained how.
        config: of the run.
        steps_per_epoch: micro-steps an epoch.
        counts: positive and negative training images of each finding, two arrays `(findings,)`.
    """
    model.features.trainable = not phase.frozen
    model.final_block.trainable = not phase.frozen
    model.compile(
        adamw(config, phase.rate, (phase.end - phase.first) * steps_per_epoch),
        make_loss(phase.loss, *counts, phase.reweighted),
        jit_compile=resolve_jit(config.jit, config.distribute),
        steps_per_execution=config.steps_per_execution,
    )
    model.optimizer.build(model.trainable_variables)  # else TensorFlow traces the step twice: 50 s more on two cores


def adamw(config: TrainConfig, rate: float, steps: int) -> keras.optimizers.AdamW:
    """Returns AdamW with a linear warm-up and a cosine to 0 over `steps`; decay on kernels alone, gradients clipped.

    Under accumulation the schedule counts micro-steps, as Keras reads it: `steps` are those too.
    """
    warmup = max(1, round(config.warmup * steps)) if config.warmup else 0
    schedule = keras.optimizers.schedules.CosineDecay(
        rate / (warmup + 1) if warmup else rate,  # a first rate of 0 would waste the first step
        max(1, steps - warmup),
        warmup_target=rate if warmup else None,
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
    """Decides on XLA: "auto" is on for JAX, and for TensorFlow on an accelerator (on a CPU it is 2.3 times slower).

    TensorFlow's `MirroredStrategy` does not run with it.
    """
    if jit != "auto":
        return jit == "on"
    backend = keras.backend.backend()
    return backend == "jax" or (backend == "tensorflow" and distribute != "mirrored" and on_gpu())

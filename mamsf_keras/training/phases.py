"""The phases of a run: each has an optimizer, a schedule and a compiled step of its own."""

import dataclasses

import keras

from mamsf_keras.config import TrainConfig
from mamsf_keras.training.environment import devices
from mamsf_keras.training.losses import CellwiseBCE

WARMUP_PART = 0.05


@dataclasses.dataclass(frozen=True)
class Phase:
    """A part of a run. Nothing of it changes inside a compiled step: what must change begins another phase.

    Attributes:
        first: its first epoch, counted from 0.
        end: the epoch after its last.
        frozen: whether the backbone is frozen, so that only the fusion and the classifier learn.
    """

    first: int
    end: int
    frozen: bool = False


def phases(config: TrainConfig) -> tuple[Phase, ...]:
    """Lays out the epochs of a run."""
    frozen = config.freeze_epochs
    whole = Phase(frozen, config.epochs)
    return (Phase(0, frozen, frozen=True), whole) if frozen else (whole,)


def begin(model, phase: Phase, config: TrainConfig, steps_per_epoch: int):
    """Compiles a `MAMSFNet` for a phase, with a new optimizer.

    Batch norm in a frozen backbone runs in inference mode, and its statistics stand still.
    """
    model.features.trainable = not phase.frozen
    model.final_block.trainable = not phase.frozen
    optimizer = adamw(config, (phase.end - phase.first) * steps_per_epoch)
    model.compile(optimizer, CellwiseBCE(), jit_compile=resolve_jit(config.jit))
    model.optimizer.build(model.trainable_variables)  # else TensorFlow traces the step twice: 50 s more on two cores


def adamw(config: TrainConfig, steps: int) -> keras.optimizers.AdamW:
    """Returns AdamW with a linear warm-up and a cosine to 0 over `steps`; decay on kernels alone, norm clipped at 1."""
    warmup = max(1, round(WARMUP_PART * steps))
    first = config.learning_rate / (warmup + 1)  # a rate of 0 would waste the first step
    schedule = keras.optimizers.schedules.CosineDecay(
        first, max(1, steps - warmup), warmup_target=config.learning_rate, warmup_steps=warmup
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=config.weight_decay, global_clipnorm=1.0)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def resolve_jit(jit: str) -> bool:
    """Decides on XLA: "auto" is on for JAX, and for TensorFlow on an accelerator (on a CPU it is 2.3 times slower)."""
    if jit != "auto":
        return jit == "on"
    backend = keras.backend.backend()
    on_gpu = any("gpu" in name.lower() for name in devices())
    return backend == "jax" or (backend == "tensorflow" and on_gpu)

"""Decay schedules of the momentum anchor, as numbers that a compiled step reads from a variable."""

import dataclasses
import math
from typing import Any

from keras import ops

WARMUPS = {None: (0.0, 1.0, 1.0), "ratio": (0.9, 10.0, 1.0), "power": (1.0, 1.0, 2 / 3)}
"""`scale`, `gamma` and `power` of `decay_at`, by the name of the warm-up."""


@dataclasses.dataclass(frozen=True)
class DecaySchedule:
    """Schedule of the decay d(t) of an exponential moving average, a function of the number of updates t.

        constant           d                                    from the first update on
        warmup="ratio"     min(d, (1 + t) / (10 + t))           d = 0.999 is reached at t = 8,990
        warmup="power"     min(d, 1 - (1 + t)^(-2/3))           d = 0.999 is reached at t = 31,622
        cosine_updates=n   1 - (1 - d) (1 + cos(pi t / n)) / 2  from d to 1

    "ratio" is the warm-up of TensorFlow's `ExponentialMovingAverage`, "power" that of timm's `ModelEmaV3`, and the
    cosine that of BYOL (arXiv 2006.07733, section 3.2). `benchmarks/decay_schedules.py` plots them.

    Args:
        decay: d, in [0, 1].
        warmup: None, "ratio" or "power".
        cosine_updates: n, at least 1, or None.

    Raises:
        ValueError: if a value is out of range.
    """

    decay: float
    warmup: str | None = None
    cosine_updates: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.decay <= 1:
            raise ValueError(f"`decay` must be in [0, 1]. Received: decay={self.decay}.")
        if self.warmup not in WARMUPS:
            raise ValueError(f"`warmup` must be None, 'ratio' or 'power'. Received: warmup={self.warmup!r}.")
        if self.cosine_updates is not None and self.cosine_updates < 1:
            raise ValueError(f"`cosine_updates` must be at least 1. Received: cosine_updates={self.cosine_updates}.")

    @property
    def numbers(self) -> tuple[float, ...]:
        """The five parameters of `decay_at`: decay, scale, gamma, power, cosine rate."""
        return (self.decay, *WARMUPS[self.warmup], 1 / self.cosine_updates if self.cosine_updates else 0.0)


FROZEN = DecaySchedule(1.0)
"""The schedule of a shadow that is never updated."""


def decay_at(numbers: Any, updates: Any) -> Any:
    """Computes the decay d(t) at an update.

        m = min(decay, 1 - scale (1 + t / gamma)^-power),   d = 1 - (1 - m) (1 + cos(pi min(rate t, 1))) / 2

    Args:
        numbers: float tensor `(5,)`, see `DecaySchedule.numbers`.
        updates: float tensor `()`, t, the number of updates so far.

    Returns:
        Float tensor `()` in [0, 1].
    """
    decay, scale, gamma, power, rate = (numbers[i] for i in range(5))
    momentum = ops.minimum(decay, 1.0 - scale * (1.0 + updates / gamma) ** -power)
    cosine = 1.0 - (1.0 - momentum) * (1.0 + ops.cos(math.pi * ops.minimum(rate * updates, 1.0))) / 2.0
    return ops.where(rate > 0.0, cosine, momentum)


def ema(shadow: Any, online: Any, decay: Any) -> Any:
    """Computes the exponential moving average: decay * shadow + (1 - decay) * online."""
    return decay * shadow + (1.0 - decay) * online

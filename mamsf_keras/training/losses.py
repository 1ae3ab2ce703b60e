"""Losses from logits. Each returns one number per cell, that is, per image and finding.

They neither average nor mask: missing labels have a sample weight of 0.

z is a logit, p = sigmoid(z), y a label of 0 or 1, and n1, n0 are the positive and negative training images of a
finding. Everything is computed in float32, from z and never from p where p rounds to 0 or 1.
"""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from keras import ops


def log_sigmoid(logits: Any) -> tuple[Any, Any]:
    """Returns log p and log(1 - p), exact at both ends and with the right gradient at 0."""
    return -ops.softplus(-logits), -ops.softplus(logits)


def _floats(values) -> list[float]:
    return [float(value) for value in values]


class Cellwise(keras.losses.Loss):
    """A loss of each cell, `(batch, findings)`, so that `sample_weight` can weigh or drop single labels.

    Keras then takes the mean over all cells. A subclass implements `cells`.

    Attributes:
        balanced: True if the best constant logit is 0 and not the log-odds of the finding.
    """

    balanced = False

    def __init__(self, name: str, reduction: str | None = "sum_over_batch_size") -> None:
        super().__init__(name, reduction, dtype="float32")

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each cell, float32 `(batch, findings)`, of labels 0 or 1 and logits."""
        return self.cells(ops.cast(y_true, "float32"), ops.cast(y_pred, "float32"))


@keras.saving.register_keras_serializable(package="mamsf_keras")
class CellwiseBCE(Cellwise):
    """Binary cross-entropy: -y log p - (1 - y) log(1 - p)."""

    def __init__(self, name: str = "bce", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    def cells(self, y: Any, z: Any) -> Any:
        """Returns the loss of each cell."""
        positive, negative = log_sigmoid(z)
        return -y * positive - (1 - y) * negative


@keras.saving.register_keras_serializable(package="mamsf_keras")
class WeightedBCE(CellwiseBCE):
    """Binary cross-entropy with weighted positives: -w y log p - (1 - y) log(1 - p).

    `make_loss` sets w = n0 / n1, so that the positives and the negatives of a finding weigh the same (the balancing of
    Wang et al., CVPR 2017, equation 1, with the negatives' weight set to 1).

    Args:
        weights: w, `(findings,)`.
    """

    balanced = True

    def __init__(self, weights: Iterable[float], name: str = "weighted-bce", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.weights = _floats(weights)

    def cells(self, y: Any, z: Any) -> Any:
        """Returns the loss of each cell."""
        positive, negative = log_sigmoid(z)
        return -ops.array(self.weights, "float32") * y * positive - (1 - y) * negative

    def get_config(self) -> dict:
        return {**super().get_config(), "weights": self.weights}


@keras.saving.register_keras_serializable(package="mamsf_keras")
class LogitAdjustedBCE(CellwiseBCE):
    """Binary cross-entropy of adjusted logits, z + tau log(n1 / n0) (Menon et al., arXiv 2007.07314, equation 10).

    The model then learns z without the base rate, so its probabilities are those of balanced classes.

    Args:
        log_odds: log(n1 / n0), `(findings,)`.
        tau: strength, at least 0.
    """

    balanced = True

    def __init__(self, log_odds: Iterable[float], tau: float = 1.0, name: str = "bce-adjusted", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.log_odds = _floats(log_odds)
        self.tau = tau

    def cells(self, y: Any, z: Any) -> Any:
        """Returns the loss of each cell."""
        return super().cells(y, z + self.tau * ops.array(self.log_odds, "float32"))

    def get_config(self) -> dict:
        return {**super().get_config(), "log_odds": self.log_odds, "tau": self.tau}


@keras.saving.register_keras_serializable(package="mamsf_keras")
class Focal(Cellwise):
    """Focal loss: -a y (1 - p)^g log p - (1 - a) (1 - y) p^g log(1 - p) (Lin et al., arXiv 1708.02002, equation 5).

    Args:
        gamma: g, at least 0; 0 is a weighted cross-entropy.
        alpha: a, in (0, 1).
    """

    def __init__(self, gamma: float = 2.0, alpha: float = 0.25, name: str = "focal", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.gamma = gamma
        self.alpha = alpha

    def cells(self, y: Any, z: Any) -> Any:
        """Returns the loss of each cell."""
        positive, negative = log_sigmoid(z)
        hard_positive, hard_negative = ops.exp(self.gamma * negative), ops.exp(self.gamma * positive)
        return -self.alpha * y * hard_positive * positive - (1 - self.alpha) * (1 - y) * hard_negative * negative

    def get_config(self) -> dict:
        return {**super().get_config(), "gamma": self.gamma, "alpha": self.alpha}


@keras.saving.register_keras_serializable(package="mamsf_keras")
class Asymmetric(Cellwise):
    """Asymmetric loss: -y (1 - p)^g1 log p - (1 - y) q^g0 log(1 - q), q = max(p - m, 0).

    Ridnik et al., arXiv 2009.14119, equations 4 to 7. With a `prevalence` r, positives are weighted by exp(1 - r) and
    negatives by exp(r) (CheXFusion, arXiv 2308.03968).

    Args:
        gamma_positive: g1, at least 0.
        gamma_negative: g0, 0 or at least 1.
        clip: m, in (0, 1): negatives with a lower probability have a loss of 0.
        prevalence: n1 / (n1 + n0), `(findings,)`, or None.
    """

    def __init__(
        self,
        gamma_positive: float = 1.0,
        gamma_negative: float = 4.0,
        clip: float = 0.05,
        prevalence: Iterable[float] | None = None,
        name: str = "asymmetric",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.gamma_positive = gamma_positive
        self.gamma_negative = gamma_negative
        self.clip = clip
        self.prevalence = None if prevalence is None else _floats(prevalence)

    def cells(self, y: Any, z: Any) -> Any:
        """Returns the loss of each cell."""
        positive, negative = log_sigmoid(z)
        shifted = ops.maximum(ops.sigmoid(z) - self.clip, 0.0)
        hard = ops.exp(self.gamma_positive * negative)
        easy = shifted**self.gamma_negative if self.gamma_negative else 1.0
        cells = -y * hard * positive - (1 - y) * easy * ops.log(1.0 - shifted)
        if self.prevalence is None:
            return cells
        rate = ops.array(self.prevalence, "float32")
        return cells * (y * ops.exp(1 - rate) + (1 - y) * ops.exp(rate))

    def get_config(self) -> dict:
        arguments = ("gamma_positive", "gamma_negative", "clip", "prevalence")
        return {**super().get_config(), **{name: getattr(self, name) for name in arguments}}


@keras.saving.register_keras_serializable(package="mamsf_keras")
class LDAM(CellwiseBCE):
    """Label-distribution-aware margins: cross-entropy of z - d1 for positives and z + d0 for negatives.

    Cao et al., arXiv 1906.07413, equation 12, with each finding as a two-class problem: d = C / n^(1/4), where C is
    chosen so that the largest margin is `largest`. Logits are not normalized, so the scale s of the paper is 1. The
    deferred re-weighting (section 3.3) weights each class by 1 / (1 - b^n), b = 0.9999 (Cui et al., arXiv 1901.05555);
    the two weights of a finding are scaled to sum to 2.

    Args:
        positives: n1, `(findings,)`.
        negatives: n0, `(findings,)`.
        reweighted: whether the re-weighting is on.
        largest: the largest margin.
    """

    def __init__(
        self,
        positives: Iterable[float],
        negatives: Iterable[float],
        reweighted: bool = False,
        largest: float = 0.5,
        name: str = "ldam",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.positives, self.negatives = _floats(positives), _floats(negatives)
        self.reweighted = reweighted
        self.largest = largest
        counts = np.array([self.positives, self.negatives])
        margins = counts**-0.25
        self.margins = (largest * margins / margins.max()).astype("float32")
        weights = 1 / (1 - 0.9999**counts) if reweighted else np.ones_like(counts)
        self.weights = (2 * weights / weights.sum(axis=0)).astype("float32")

    def cells(self, y: Any, z: Any) -> Any:
        """Returns the loss of each cell."""
        margins, weights = ops.array(self.margins, "float32"), ops.array(self.weights, "float32")
        cells = super().cells(y, z - y * margins[0] + (1 - y) * margins[1])
        return cells * (y * weights[0] + (1 - y) * weights[1])

    def get_config(self) -> dict:
        arguments = ("positives", "negatives", "reweighted", "largest")
        return {**super().get_config(), **{name: getattr(self, name) for name in arguments}}


LOSSES: dict[str, type[Cellwise]] = {
    "bce": CellwiseBCE,
    "weighted-bce": WeightedBCE,
    "focal": Focal,
    "asl": Asymmetric,
    "weighted-asl": Asymmetric,
    "ldam": LDAM,
    "bce-adjusted": LogitAdjustedBCE,
}
"""Class of each loss, by its name in a configuration."""


def make_loss(name: str, positives: np.ndarray, negatives: np.ndarray, reweighted: bool = False) -> keras.losses.Loss:
    """Returns the loss with the given name, with weights and margins that follow from the training images.

    Args:
        name: a key of `LOSSES`.
        positives: `(findings,)`, training images with each finding.
        negatives: `(findings,)`, training images without it.
        reweighted: for "ldam", whether the deferred re-weighting is on.
    """
    n1, n0 = np.maximum(positives, 1.0), np.maximum(negatives, 1.0)
    arguments = {
        "weighted-bce": {"weights": n0 / n1},
        "weighted-asl": {"prevalence": n1 / (n1 + n0)},
        "ldam": {"positives": n1, "negatives": n0, "reweighted": reweighted},
        "bce-adjusted": {"log_odds": np.log(n1 / n0)},
    }
    return LOSSES[name](**arguments.get(name, {}))

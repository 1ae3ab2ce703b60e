"""Comparison of an export with Keras. Pure functions of arrays."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.special import expit

from mamsf_keras.evaluation.metrics import per_finding

SMALLEST_SPREAD = 0.01
"""Interquartile range of a finding's logit over the images below which a model hardly tells them apart."""
CONSISTENT = 2e-3
"""Largest difference between an output of an export and the same computed from its logits, room for float16."""
FEWEST_IMAGES = 64


@dataclasses.dataclass(frozen=True)
class Limits:
    """How far an export may differ from Keras.

    Attributes:
        logits: largest absolute difference of a logit.
        auroc: largest absolute change of the AUROC of a finding.
    """

    logits: float
    auroc: float


@dataclasses.dataclass(frozen=True)
class Reference:
    """What an export is compared with.

    Attributes:
        findings: names of the columns.
        logits: by Keras, `(images, findings)`.
        labels: `(images, findings)`: 1, 0, or NaN where missing.
        calibration: `slope`, `intercept` and `threshold` by finding, as `ServingModule.platt` returns them, or None.
    """

    findings: Sequence[str]
    logits: np.ndarray
    labels: np.ndarray
    calibration: Mapping[str, Sequence[float]] | None = None


@dataclasses.dataclass(frozen=True)
class FindingParity:
    """The comparison of one finding.

    Attributes:
        auroc: by Keras; None where the images are not of both kinds.
        auroc_change: AUROC of the export minus that of Keras, or None.
        allowed_change: the limit, or the weight of one pair of a positive and a negative image if that is more.
        spread: interquartile range of the logit over the images, by Keras. A few outliers do not raise it.
        distinct_values: number of different logits of the export, and of Keras.
        decisions_changed: decisions at the operating point that differ; None without a threshold.
    """

    auroc: float | None
    auroc_change: float | None
    allowed_change: float
    spread: float
    distinct_values: tuple[int, int]
    decisions_changed: int | None


@dataclasses.dataclass(frozen=True)
class Parity:
    """The comparison of one export with Keras.

    Attributes:
        images: number of images.
        limits: what the differences are compared with.
        largest: largest absolute difference of a logit.
        mean: mean absolute difference of the logits.
        findings: the comparison by finding.
        inconsistent: outputs of the export that do not follow from its logits.
    """

    images: int
    limits: Limits
    largest: float
    mean: float
    findings: dict[str, FindingParity]
    inconsistent: tuple[str, ...] = ()

    @property
    def undefined(self) -> list[str]:
        """The findings without an AUROC on these images."""
        return [name for name, row in self.findings.items() if row.auroc is None]

    @property
    def blurred(self) -> list[str]:
        """The findings for which the model hardly tells these images apart. Their AUROC is not compared."""
        return [name for name, row in self.findings.items() if row.spread < SMALLEST_SPREAD]

    @property
    def largest_auroc_change(self) -> float | None:
        """Largest absolute change of the AUROC of a finding, or None if there are no AUROCs."""
        return max(
            (abs(row.auroc_change) for row in self.findings.values() if row.auroc_change is not None), default=None
        )

    @property
    def decisions_changed(self) -> int | None:
        """Decisions at the operating point that differ; None without thresholds."""
        counts = [row.decisions_changed for row in self.findings.values() if row.decisions_changed is not None]
        return sum(counts) if counts else None

    def violations(self) -> list[str]:
        """Returns the limits that the export exceeds, one text each."""
        found = [f"its output {name} does not follow from its logits" for name in self.inconsistent]
        if not self.largest <= self.limits.logits:  # NaN too
            found.append(f"a logit differs by {self.largest:.2g}, more than {self.limits.logits:g}")
        for name, row in self.findings.items():
            change = row.auroc_change
            if change is not None and name not in self.blurred and abs(change) > row.allowed_change + 1e-12:
                found.append(f"the AUROC of {name} changes by {change:+.4f}, more than {row.allowed_change:.4f}")
        return found

    def to_dict(self) -> dict[str, Any]:
        """Returns everything as a JSON-ready dictionary."""
        return {
            **dataclasses.asdict(self),
            "undefined": self.undefined,
            "hardly_told_apart": self.blurred,
            "largest_auroc_change": self.largest_auroc_change,
            "decisions_changed": self.decisions_changed,
        }

    def __str__(self) -> str:
        text = f"logits differ by at most {self.largest:.2g}, on average {self.mean:.2g}, on {self.images} images"
        if self.largest_auroc_change is not None:
            text += f"; AUROC by at most {self.largest_auroc_change:.2g}"
        decisions = "" if self.decisions_changed is None else f"; {self.decisions_changed} decisions change"
        return text + decisions


def compare(reference: Reference, outputs: Mapping[str, np.ndarray], limits: Limits) -> Parity:
    """Compares the outputs of an export with Keras for the same images.

    Args:
        reference: the logits of Keras, and what they are rated with.
        outputs: by name, each `(images, findings)`: `logits`, `probabilities` and, if it has them, `calibrated` and
            `positive`.
        limits: of the format.
    """
    logits = np.asarray(outputs["logits"], float)
    difference = np.abs(reference.logits - logits)
    names, rows = reference.findings, {}
    ours = per_finding(reference.labels, reference.logits, names)
    theirs = per_finding(reference.labels, logits, names) if np.isfinite(logits).all() else dict.fromkeys(names)
    for i, name in enumerate(names):
        change = _change(ours[name], theirs[name])
        rows[name] = FindingParity(
            auroc=ours[name]["auroc"],
            auroc_change=change,
            allowed_change=limits.auroc if change is None else max(limits.auroc, _one_pair(ours[name])),
            spread=float(np.subtract(*np.percentile(reference.logits[:, i], [75, 25]))),
            distinct_values=(len(np.unique(logits[:, i])), len(np.unique(reference.logits[:, i]))),
            decisions_changed=_decisions_changed(reference, outputs, i),
        )
    inconsistent = tuple(
        name
        for name, value in expected(logits, reference.calibration).items()
        if name in outputs and not _agrees(outputs[name], value)
    )
    return Parity(len(logits), limits, float(difference.max()), float(difference.mean()), rows, inconsistent)


def expected(logits: np.ndarray, calibration: Mapping[str, Sequence[float]] | None) -> dict[str, np.ndarray]:
    """Returns the outputs that follow from the logits: `probabilities` and, with a calibration, `calibrated`."""
    outputs = {"probabilities": expit(logits)}
    if calibration is not None:
        outputs["calibrated"] = expit(logits * np.asarray(calibration["slope"]) + np.asarray(calibration["intercept"]))
    return outputs


def _agrees(given, wanted):
    return np.shape(given) == wanted.shape and np.allclose(given, wanted, rtol=0, atol=CONSISTENT, equal_nan=True)


def _change(ours, theirs) -> float | None:
    return None if theirs is None or ours["auroc"] is None else theirs["auroc"] - ours["auroc"]


def _one_pair(row) -> float:
    """Returns how much one pair of a positive and a negative image counts in the AUROC."""
    return 1 / (row["positives"] * (row["images"] - row["positives"]))


def _decisions_changed(reference, outputs, i) -> int | None:
    if reference.calibration is None or not np.isfinite(threshold := reference.calibration["threshold"][i]):
        return None
    ours = expit(reference.logits[:, i]) >= threshold
    theirs = outputs["positive"] if "positive" in outputs else expit(outputs["logits"]) >= threshold
    return int((ours != np.asarray(theirs)[:, i]).sum())

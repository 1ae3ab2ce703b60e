"""Comparison of an export with Keras. Pure functions of arrays."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import expit

from mamsf_keras.evaluation.metrics import per_finding
from mamsf_keras.evaluation.reliability import LARGEST_LOGIT
from mamsf_keras.export.results import FindingParity, Limits, Parity

CONSISTENT = 2e-3
"""Largest allowed difference between an output and its value computed from the logits. Leaves room for float16."""
FEWEST_IMAGES = 64
LARGE_LOGIT = 10.0
"""Beyond this magnitude the limit grows in proportion to the logit, as the rounding errors of float32 do."""


@dataclasses.dataclass(frozen=True)
class Reference:
    """What an export is compared with.

    Attributes:
        findings: names of the columns.
        logits: logits computed by Keras, `(images, findings)`.
        labels: `(images, findings)`: 1, 0, or NaN where missing.
        calibration: what `Calibration.coefficients` returned (`slope`, `intercept` and `threshold`), or None.
    """

    findings: Sequence[str]
    logits: np.ndarray
    labels: np.ndarray
    calibration: Mapping[str, Sequence[float]] | None = None


def compare(reference: Reference, outputs: Mapping[str, np.ndarray], limits: Limits) -> Parity:
    """Compares the outputs of an export with Keras for the same images.

    Args:
        reference: the logits of Keras, with the labels and the calibration to evaluate them.
        outputs: outputs by name, each `(images, findings)`: `logits`, `probabilities` and, if the export has them,
            `calibrated` and `positive`.
        limits: limits of the format.
    """
    logits = np.asarray(outputs["logits"], float)
    difference = np.abs(logits - reference.logits)
    difference[~np.isfinite(difference)] = np.inf
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
    if "positive" in outputs and not _positive_agrees(outputs["positive"], expit(logits), reference.calibration):
        inconsistent += ("positive",)
    scaled = difference / np.maximum(1, np.abs(reference.logits) / LARGE_LOGIT)
    worst = float(scaled.max())
    return Parity(len(logits), limits, float(difference.max()), float(difference.mean()), worst, rows, inconsistent)


def expected(logits: np.ndarray, calibration: Mapping[str, Sequence[float]] | None) -> dict[str, np.ndarray]:
    """Returns the outputs that follow from the logits: `probabilities` and, with a calibration, `calibrated`."""
    outputs = {"probabilities": expit(logits)}
    if calibration is not None:
        scores = np.clip(logits, -LARGEST_LOGIT, LARGEST_LOGIT)
        outputs["calibrated"] = expit(scores * np.asarray(calibration["slope"]) + np.asarray(calibration["intercept"]))
    return outputs


def _agrees(given, wanted):
    return np.shape(given) == wanted.shape and np.allclose(given, wanted, rtol=0, atol=CONSISTENT, equal_nan=True)


def _positive_agrees(given, probabilities, calibration):
    """Returns True if decisions follow from the probabilities, except where rounding may decide."""
    if calibration is None or np.shape(given) != probabilities.shape:
        return False
    threshold = np.asarray(calibration["threshold"])
    clear = np.abs(probabilities - threshold) > CONSISTENT
    return bool((given == (probabilities >= threshold))[clear].all())


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

"""Calibration: probabilities and thresholds per finding, fitted on the validation split and applied to all splits."""

import dataclasses
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from scipy.special import expit

from mamsf_keras.evaluation.operating_points import thresholds
from mamsf_keras.evaluation.reliability import logistic_fit, logits
from mamsf_keras.storage import write_json

SCHEMA_VERSION = 1

FEWEST_STABLE = 20
"""Positive patients below which a threshold is marked as unstable."""


@dataclasses.dataclass(frozen=True)
class FindingCalibration:
    """The calibration of one finding.

    Attributes:
        slope: slope of the Platt scaling, probability = sigmoid(slope x logit + intercept); None if there is no
            calibration, see `platt_scaling`.
        intercept: intercept of the Platt scaling, or None.
        thresholds: threshold of the raw probability by operating point; None if the labels contain only one class.
        prevalence: share of positives among the labeled validation images; None without labels.
        positives: positive validation images.
        positive_patients: patients with a positive validation image.
        unstable: True with fewer than `FEWEST_STABLE` positive patients.
    """

    slope: float | None
    intercept: float | None
    thresholds: dict[str, float | None]
    prevalence: float | None
    positives: int
    positive_patients: int
    unstable: bool


@dataclasses.dataclass(frozen=True)
class Calibration:
    """The calibration of a model, `calibration.json` of a run.

    Attributes:
        findings: calibration by name of the finding.
        model_sha256: checksum of the model file; None for predictions from elsewhere.
        images: validation images.
        patients: validation patients.
    """

    findings: dict[str, FindingCalibration]
    model_sha256: str | None
    images: int
    patients: int

    def apply(self, name: str, probabilities: np.ndarray) -> np.ndarray | None:
        """Returns calibrated probabilities of one finding `(images,)`, or None if it has no calibration."""
        finding = self.findings.get(name)
        if finding is None or finding.slope is None or finding.intercept is None:
            return None
        return expit(finding.slope * logits(probabilities) + finding.intercept)

    def coefficients(self, findings: Sequence[str], operating_point: str) -> dict[str, list[float]]:
        """Returns `slope`, `intercept` and `threshold` of some findings, in their order.

        Slope and intercept are NaN without a fit, so that the calibrated probability is NaN, and the threshold is
        infinite where there is none, so that no image is positive.
        """
        rows = [self.findings.get(name) for name in findings]

        def column(value: Callable[[FindingCalibration], float | None], missing: float) -> list[float]:
            found = [None if row is None else value(row) for row in rows]
            return [missing if number is None else number for number in found]

        return {
            "slope": column(lambda row: row.slope, np.nan),
            "intercept": column(lambda row: row.intercept, np.nan),
            "threshold": column(lambda row: row.thresholds[operating_point], np.inf),
        }

    def save(self, path: str | Path) -> None:
        """Writes the calibration as strict JSON, atomically."""
        write_json(path, {"schema_version": SCHEMA_VERSION, "split": "validation", **dataclasses.asdict(self)})

    @classmethod
    def of_model(cls, path: Path, model_sha256: str | None) -> "Calibration | None":
        """Reads the calibration of a model; None if there is no file, or if it was fitted for a different model."""
        if not path.exists():
            return None
        calibration = cls.load(path)
        return calibration if calibration.model_sha256 == model_sha256 else None

    @classmethod
    def load(cls, path: str | Path) -> "Calibration":
        """Reads a calibration.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if the file is damaged or has a different version.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            if content["schema_version"] != SCHEMA_VERSION:
                raise ValueError("another version")
            findings = {name: FindingCalibration(**values) for name, values in content["findings"].items()}
            return cls(findings, content["model_sha256"], content["images"], content["patients"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{path} is damaged or is not a calibration of version {SCHEMA_VERSION}. Remove it, and run `evaluate` "
                "to fit it again."
            ) from error


def fit_calibration(
    labels: np.ndarray,
    probabilities: np.ndarray,
    findings: Iterable[str],
    patients: np.ndarray,
    model_sha256: str | None = None,
) -> Calibration:
    """Fits Platt scaling and thresholds for each finding.

    Args:
        labels: labels of the validation split, `(images, findings)`, 1, 0, or NaN where missing.
        probabilities: `(images, findings)`.
        findings: names of the columns.
        patients: the patient of each image, `(images,)`.
        model_sha256: checksum of the model that made the predictions.
    """
    columns = {name: _fit_finding(labels[:, i], probabilities[:, i], patients) for i, name in enumerate(findings)}
    return Calibration(columns, model_sha256, len(labels), len(np.unique(patients)))


def _fit_finding(labels, probabilities, patients) -> FindingCalibration:
    observed = ~np.isnan(labels)
    labels, probabilities, patients = labels[observed], probabilities[observed], patients[observed]
    positives, positive_patients = int(labels.sum()), len(np.unique(patients[labels == 1]))
    slope, intercept = platt_scaling(labels, probabilities)
    return FindingCalibration(
        slope=slope,
        intercept=intercept,
        thresholds=thresholds(labels, probabilities),
        prevalence=positives / len(labels) if len(labels) else None,
        positives=positives,
        positive_patients=positive_patients,
        unstable=positive_patients < FEWEST_STABLE,
    )


def platt_scaling(labels: np.ndarray, probabilities: np.ndarray) -> tuple[float | None, float | None]:
    """Returns slope and intercept of Platt scaling on the logits of one finding.

    Both are None if the labels contain only one class, if `logistic_fit` finds no fit, as when the scores are all
    equal, or if the slope is not positive. A negative slope would reverse the order of the images, which happens for
    findings that the model has not learned.

    The targets are (N+ + 1) / (N+ + 2) and 1 / (N- + 2) in place of 1 and 0, which keeps the fit finite when the
    scores separate the labels: J. Platt, Advances in Large Margin Classifiers, 1999, equation 2.

    Args:
        labels: `(images,)`, 1 or 0.
        probabilities: `(images,)`.
    """
    positives = labels.sum()
    negatives = len(labels) - positives
    if positives == 0 or negatives == 0:
        return None, None
    target = np.where(labels == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    scores = logits(probabilities)
    # A soft target is one image of each class, weighted by the target and its complement.
    both, kinds = np.concatenate([scores, scores]), np.repeat([1, 0], len(scores))
    fit = logistic_fit(both, kinds, np.concatenate([target, 1 - target]))
    return fit if fit is not None and fit[0] > 0 else (None, None)

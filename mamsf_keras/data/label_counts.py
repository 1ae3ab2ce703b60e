"""Positive and negative labels of each finding, and the findings with only one class."""

import dataclasses
from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike


@dataclasses.dataclass(frozen=True)
class LabelCounts:
    """The number of positive and negative labels of each finding in some images.

    Attributes:
        findings: names of the findings.
        positives: number of positive labels, one per finding.
        negatives: number of negative labels, one per finding.
    """

    findings: tuple[str, ...]
    positives: tuple[int, ...]
    negatives: tuple[int, ...]

    @property
    def single_class(self) -> tuple[str, ...]:
        """The findings without a positive or without a negative label, which can be neither learned nor scored."""
        rows = zip(self.findings, self.positives, self.negatives, strict=True)
        return tuple(name for name, positive, negative in rows if not (positive and negative))

    def describe(self, names: Iterable[str]) -> str:
        """Formats the counts of some findings: "Hernia (0 positive, 210 negative), ..."."""
        counts = dict(zip(self.findings, zip(self.positives, self.negatives, strict=True), strict=True))
        return ", ".join("{} ({} positive, {} negative)".format(name, *counts[name]) for name in names)


def count_labels(labels: ArrayLike, findings: Iterable[str], weights: ArrayLike | None = None) -> LabelCounts:
    """Counts the positive and negative labels of each finding.

    ```python
    training = dataset.split("train")
    count_labels(training.labels, training.findings).single_class  # ("Hernia",)
    ```

    Args:
        labels: `(images, findings)`: 1, 0, or NaN where the label is missing.
        findings: names of the columns.
        weights: `(images, findings)`; labels of weight 0 do not count. By default all labels count.

    Raises:
        ValueError: if there is not one column per finding.
    """
    values, names = np.asarray(labels, dtype=float), tuple(findings)
    if values.ndim != 2 or values.shape[1] != len(names):
        raise ValueError(
            f"`labels` must have one column for each of the {len(names)} findings. Received: shape {values.shape}."
        )
    counted = np.ones(values.shape, bool) if weights is None else np.asarray(weights) > 0
    positives, negatives = (((values == kind) & counted).sum(axis=0).tolist() for kind in (1, 0))
    return LabelCounts(names, tuple(positives), tuple(negatives))

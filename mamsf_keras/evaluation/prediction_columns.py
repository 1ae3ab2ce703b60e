"""The columns of a file of predictions: findings, their labels, and the properties of an image."""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path

from mamsf_keras.data.readers.labels_csv import KNOWN
from mamsf_keras.findings import name_key, with_nearest

LABEL_SUFFIX = "_label"

DERIVED_SUFFIXES = ("_calibrated", "_positive")
"""Columns of `predict` that follow from the probabilities. They are not findings."""


@dataclasses.dataclass(frozen=True)
class PredictionColumns:
    """What the columns of a file of predictions hold.

    Attributes:
        properties: the column of `patient`, `age`, `sex` and `view`, for those that the file has.
        labels: the label column of each finding, or None, by the column of its probabilities.
    """

    properties: Mapping[str, str]
    labels: Mapping[str, str | None]

    @classmethod
    def of(cls, columns: Iterable[str], path: str | Path) -> "PredictionColumns":
        """Sorts the columns of a file, whose names are compared by `name_key`.

        NAME_calibrated and NAME_positive are left out if there is a column NAME.

        Args:
            columns: the names in the header.
            path: the file, for errors.

        Raises:
            ValueError: if there are no findings, a finding occurs more than once, or labels have no probabilities.
        """
        columns = [name for name in columns if name != "image"]
        meanings = {name_key(alias): what for what, aliases in KNOWN.items() if what != "image" for alias in aliases}
        properties = {meanings[key]: name for name in reversed(columns) if (key := name_key(name)) in meanings}
        others = [name for name in columns if name_key(name) not in meanings]
        keys = {name_key(name) for name in others}
        others = [name for name in others if not any(_stem(name, suffix) in keys for suffix in DERIVED_SUFFIXES)]
        findings = [name for name in others if _stem(name, LABEL_SUFFIX) is None]
        labels = [name for name in others if name not in findings]
        _check(findings, labels, path)
        by_finding = {_stem(name, LABEL_SUFFIX): name for name in labels}
        return cls(properties, {name: by_finding.get(name_key(name)) for name in findings})


def _stem(name, suffix) -> str | None:
    """Returns the key of a name without a suffix, or None if the name does not end with it."""
    return name_key(name[: -len(suffix)]) if name.casefold().endswith(suffix) else None


def _check(findings, labels, path):
    if not findings:
        raise ValueError(f"{path} has no column of probabilities. Add one column for each finding.")
    for names in (findings, labels):
        keys = [name_key(name) for name in names]
        repeated = [name for name, key in zip(names, keys, strict=True) if keys.count(key) > 1]
        if repeated:
            raise ValueError(f"{path} has more than one column for {repeated[0]}: {', '.join(repeated)}.")
    known = {name_key(name) for name in findings}
    orphans = [name for name in labels if _stem(name, LABEL_SUFFIX) not in known]
    if orphans:
        named = [with_nearest(name[: -len(LABEL_SUFFIX)], findings) for name in orphans]
        raise ValueError(f"{path} has labels without a column of probabilities: {', '.join(named)}.")

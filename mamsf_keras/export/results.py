"""What an export produced and how it compares with Keras, as objects, as a table and as JSON."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SCHEMA_VERSION = 1
HEADER = ("format", "MB", "largest logit difference", "mean", "AUROC change", "distinct", "decisions changed")
SMALLEST_SPREAD = 0.01
"""Interquartile range of a finding's logit below which a model barely distinguishes the images."""


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
class FindingParity:
    """The comparison of one finding.

    Attributes:
        auroc: AUROC of Keras; None unless the images contain both classes.
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
        mean: mean absolute difference.
        scaled: like `largest`, but the difference of a logit z is divided by |z| / 10 where that is above 1.
        findings: the comparison by finding.
        inconsistent: outputs of the export that do not follow from its logits.
    """

    images: int
    limits: Limits
    largest: float
    mean: float
    scaled: float
    findings: dict[str, FindingParity]
    inconsistent: tuple[str, ...] = ()

    @property
    def undefined(self) -> list[str]:
        """The findings without an AUROC on these images."""
        return [name for name, row in self.findings.items() if row.auroc is None]

    @property
    def barely_distinguished(self) -> list[str]:
        """The findings for which the model barely distinguishes these images. Their AUROC is not compared."""
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
        if self.scaled > self.limits.logits:
            found.append(f"a logit differs by {self.scaled:.2g}, more than {self.limits.logits:g}")
        if changed := self._changed_aurocs():
            name = max(changed, key=lambda name: abs(changed[name]))
            allowed = self.findings[name].allowed_change
            others = f" ({len(changed)} findings exceed their limit)" if len(changed) > 1 else ""
            found.append(f"the AUROC of {name} changes by {changed[name]:+.4f}, more than {allowed:.4f}{others}")
        return found

    def _changed_aurocs(self) -> dict[str, float]:
        """Returns the changes of AUROC that exceed the limit, by finding."""
        return {
            name: row.auroc_change
            for name, row in self.findings.items()
            if row.auroc_change is not None
            and name not in self.barely_distinguished
            and abs(row.auroc_change) > row.allowed_change + 1e-12
        }

    def to_dict(self) -> dict[str, Any]:
        """Returns everything as a JSON-ready dictionary."""
        return {
            **dataclasses.asdict(self),
            "undefined": self.undefined,
            "barely_distinguished": self.barely_distinguished,
            "largest_auroc_change": self.largest_auroc_change,
            "decisions_changed": self.decisions_changed,
        }

    def __str__(self) -> str:
        text = f"logits differ by at most {self.largest:.2g}, on average {self.mean:.2g}, on {self.images} images"
        if self.largest_auroc_change is not None:
            text += f"; AUROC by at most {self.largest_auroc_change:.2g}"
        decisions = "" if self.decisions_changed is None else f"; {self.decisions_changed} decisions change"
        return text + decisions


@dataclasses.dataclass(frozen=True)
class Exported:
    """One exported file or folder.

    Attributes:
        path: where it is.
        parity: the comparison with Keras.
        size_bytes: size of the file, or of all files in the folder.
        latency_ms: `median`, `p99` and `runs` by batch size, on the CPU of this machine.
    """

    path: Path
    parity: Parity
    size_bytes: int
    latency_ms: Mapping[str, Mapping[str, float]]

    def to_dict(self) -> dict[str, Any]:
        """Returns everything as a JSON-ready dictionary, with the name of the file in place of its path."""
        return {
            "file": self.path.name,
            "size_bytes": self.size_bytes,
            "latency_ms": self.latency_ms,
            **self.parity.to_dict(),
        }


def parity_table(exported: Mapping[str, Exported], keras: Mapping[str, Any]) -> str:
    """Formats the comparison as a Markdown table, one row per format, Keras first.

    Args:
        exported: the exports by format.
        keras: `size_bytes` and `latency_ms` of the `.keras` file.
    """
    header = [*HEADER, *(f"ms, batch {batch} (p99)" for batch in keras["latency_ms"])]
    lines = [f"| {' | '.join(header)} |", f"|---|{'--:|' * (len(header) - 1)}"]
    lines.append(_row("Keras", keras["size_bytes"], ["", "", "", "", ""], keras["latency_ms"]))
    for name, result in exported.items():
        lines.append(_row(name, result.size_bytes, _differences(result.parity), result.latency_ms))
    return "\n".join(lines) + "\n"


def _row(name, size, cells, latency) -> str:
    times = [f"{row['median']:.1f} ({row['p99']:.1f})" for row in latency.values()]
    return f"| {' | '.join([name, f'{size / 1e6:.1f}', *cells, *times])} |"


def _differences(parity) -> list[str]:
    change = parity.largest_auroc_change
    fewest, most = (choose(row.distinct_values[0] for row in parity.findings.values()) for choose in (min, max))
    decisions = parity.decisions_changed
    return [
        f"{parity.largest:.2g}",
        f"{parity.mean:.2g}",
        "–" if change is None else f"{change:.2g}",
        f"{fewest} to {most}",
        "–" if decisions is None else str(decisions),
    ]

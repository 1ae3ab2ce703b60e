"""What an export produced, as objects, as a table and as JSON."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mamsf_keras.export.parity import Parity

SCHEMA_VERSION = 1
HEADER = ("format", "MB", "largest logit difference", "mean", "AUROC change", "distinct", "decisions changed")


@dataclasses.dataclass(frozen=True)
class Exported:
    """One exported file or folder.

    Attributes:
        path: where it is.
        parity: the comparison with Keras.
        size_bytes: of the file, or of all files in the folder.
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
        exported: by format.
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

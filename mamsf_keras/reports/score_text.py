"""The text of scores and the names of means in reports, tables and model cards."""

from collections.abc import Mapping
from typing import Any


def mean_name(name: str) -> str:
    """Returns the display name of a mean: "mean of all", "mean of head", "micro average"."""
    return {"macro": "mean of all", "micro": "micro average"}.get(name, f"mean of {name}")


def score_text(row: Mapping[str, Any], metric: str, digits: int = 3) -> str:
    """Formats a metric with its interval: "0.841 (0.790–0.882)", without the interval, or as "–" where undefined.

    `digits` is the number of decimals of the metric. The limits of the interval have three.
    """
    if row[metric] is None:
        return "–"
    interval = row.get(f"{metric}_interval")
    return f"{row[metric]:.{digits}f}" + (f" ({interval_text(interval)})" if interval else "")


def interval_text(interval: tuple[float, float] | None) -> str:
    """Formats an interval: "0.790–0.882", or "–" if there is none."""
    return "–" if interval is None else f"{interval[0]:.3f}–{interval[1]:.3f}"

"""The plots of the report on an evaluation: forest plot, ROC, precision-recall and calibration curves."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mamsf_keras.reports.score_text import mean_name, score_text

PATIENTS, IMAGES, RAW = "#1f4e79", "#e08a1e", "#8a8a8a"
"""Colors of patient-level intervals, of image-level intervals, and of raw probabilities."""

ROW = 0.23
"""Height of a row of the forest plot in inches."""


def forest_height(summary: Mapping[str, Any]) -> float:
    """Returns the height of the forest plot in inches."""
    return ROW * (len(summary["findings"]) + len(summary["means"])) + 0.75


def forest(axis: Any, summary: Mapping[str, Any]) -> None:
    """Draws AUROC with both intervals, one row per finding, then the means."""
    rows = dict(summary["findings"]) | {mean_name(name): row for name, row in summary["means"].items()}
    for y, row in enumerate(rows.values()):
        if row["auroc"] is None:
            axis.text(0.01, y, "undefined", transform=axis.get_yaxis_transform(), va="center", color="#777")
            continue
        _bar(axis, y + 0.2, row.get("auroc_interval_images"), IMAGES, "image-level, assumes independent images", 1.2)
        _bar(axis, y - 0.1, row["auroc_interval"], PATIENTS, "patient-level", 2.2)
        mean = y >= len(summary["findings"])
        axis.plot(row["auroc"], y - 0.1, "D" if mean else "o", color=PATIENTS, ms=3, mfc="white", mew=0.9)
        axis.text(1.02, y, score_text(row, "auroc"), transform=axis.get_yaxis_transform(), va="center")
    axis.axhline(len(summary["findings"]) - 0.5, color="#bbb", lw=0.6)
    axis.axvline(0.5, color="#bbb", lw=0.8, ls="--")
    axis.set_yticks(range(len(rows)), rows)
    axis.set(ylim=(len(rows) - 0.4, -0.6), xlim=(_lowest(rows.values()), 1.005), xlabel="AUROC and 95% intervals")
    axis.tick_params(axis="y", length=0)
    axis.spines[["top", "right", "left"]].set_visible(False)
    handles = {label: handle for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    if handles:
        axis.figure.legend(handles.values(), handles, loc="outside upper left", ncols=2, frameon=False)


def _bar(axis, y, interval, color, label, width):
    if interval is not None:
        axis.plot(interval, [y, y], color=color, lw=width, label=label, solid_capstyle="butt")


def _lowest(rows) -> float:
    """Returns where the axis starts: at the multiple of 0.05 below all intervals."""
    ends = [row["auroc"] for row in rows if row["auroc"] is not None]
    for key in ("auroc_interval", "auroc_interval_images"):
        ends += [row[key][0] for row in rows if row.get(key)]
    return np.floor(20 * min(ends, default=0.5)) / 20 - 0.01


def roc(axis: Any, curve: tuple, row: Mapping[str, Any]) -> None:
    """Draws a ROC curve `(x, y, low, high)` with its band, and the operating point of a row of the metrics."""
    axis.plot([0, 1], [0, 1], color="#bbb", lw=0.8, ls="--")
    _band(axis, *curve)
    if point := (row["operating_points"] or {}).get("youden"):
        _dot(axis, None if point["specificity"] is None else 1 - point["specificity"], point["sensitivity"])
    _unit_square(axis, "false-positive rate", "sensitivity")


def precision_recall(axis: Any, curve: tuple, row: Mapping[str, Any]) -> None:
    """Draws a precision-recall curve `(x, y, low, high)` with its band, the prevalence and the operating point."""
    axis.axhline(row["prevalence"], color="#bbb", lw=0.8, ls="--")
    _band(axis, *curve)
    if point := (row["operating_points"] or {}).get("youden"):
        _dot(axis, point["sensitivity"], point["ppv"])
    _unit_square(axis, "recall (sensitivity)", "precision (PPV)")


def _band(axis, x, y, low, high):
    if low is not None:
        axis.fill_between(x, low, high, color=PATIENTS, alpha=0.2, lw=0)
    axis.plot(x, y, color=PATIENTS, lw=1.2)


def _dot(axis, x, y):
    if x is not None and y is not None:
        axis.plot(x, y, "o", ms=4, mfc="white", mec=IMAGES, mew=1.2)


def _unit_square(axis, xlabel, ylabel):
    axis.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=xlabel, ylabel=ylabel, aspect="equal")
    axis.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axis.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])


def calibration(axis: Any, raw: tuple | None, calibrated: tuple | None) -> None:
    """Draws the share of positives against the mean probability of each bin; curves are `(x, y, low, high)` or None.

    The axes end where the bins do: the probabilities of rare findings are small.
    """
    curves = [curve for curve in (raw, calibrated) if curve is not None]
    end = min(1.08 * max(max(curve[0].max(), curve[1].max()) for curve in curves) + 1e-9, 1.02)
    axis.plot([0, 1], [0, 1], color="#bbb", lw=0.8, ls="--")
    for (x, y, low, high), color, marker in zip(curves, (RAW, PATIENTS), ("s", "o"), strict=False):
        if low is not None:
            axis.vlines(x, low, high, color=color, lw=0.8, alpha=0.5)
        axis.plot(x, y, marker, color=color, mfc="white" if color == RAW else color, mew=0.8, ms=3)
    axis.set(xlim=(-end / 50, end), ylim=(-end / 50, end), aspect="equal")
    axis.set(xlabel="mean probability", ylabel="share of positives")
    axis.locator_params(nbins=4)

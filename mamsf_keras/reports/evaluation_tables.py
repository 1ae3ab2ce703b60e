"""The tables of the report on an evaluation, as data frames of text, and the reasons for their dashes."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from mamsf_keras.reports.published import published
from mamsf_keras.reports.score_text import interval_text, mean_name, score_text

POINTS = {
    "youden": "Highest sensitivity + specificity",
    "sensitivity_90": "Sensitivity of at least 90% on the validation split",
    "f1": "Highest F1 score",
}
"""Titles of the operating points."""

Summary = Mapping[str, Any]


def number(value: float | None, digits: int = 3) -> str:
    """Formats a number, "–" for None."""
    return "–" if value is None else f"{value:.{digits}f}"


def stated(value: float) -> str:
    """Formats a published number with the three or four digits that its source gives."""
    return f"{value:.3f}" if value == round(value, 3) else f"{value:.4f}"


def width_ratio(row: Mapping[str, Any]) -> float | None:
    """Returns the width of the patient-level interval of the AUROC over that of the image-level one, or None."""
    patients, images = row["auroc_interval"], row["auroc_interval_images"]
    if not patients or not images or images[0] == images[1]:
        return None
    return (patients[1] - patients[0]) / (images[1] - images[0])


def discrimination(summary: Summary) -> pd.DataFrame:
    """Returns counts, AUROC with both intervals, the ratio of their widths, and average precision, by finding."""
    return _frame(
        {
            name: {
                "group": row["group"] or "–",
                "images": f"{row['images']:,}",
                "positives (patients)": f"{row['positives']:,} ({row['positive_patients']:,})",
                "AUROC (95% interval)": score_text(row, "auroc"),
                "image-level interval": interval_text(row["auroc_interval_images"]),
                "ratio of widths": number(width_ratio(row), 2),
                "average precision (95% interval)": score_text(row, "average_precision"),
            }
            for name, row in summary["findings"].items()
        }
    )


def means(summary: Summary) -> pd.DataFrame:
    """Returns the means over findings and the micro average."""
    return _frame(
        {
            mean_name(name): {
                "findings": str(row["findings"]),
                "AUROC (95% interval)": score_text(row, "auroc"),
                "average precision (95% interval)": score_text(row, "average_precision"),
            }
            for name, row in summary["means"].items()
        }
    )


def calibration(summary: Summary) -> pd.DataFrame:
    """Returns Brier score, slope, intercept and calibration errors, "raw → calibrated", by finding."""
    columns = {
        "brier": "Brier score",
        "calibration_slope": "slope",
        "calibration_intercept": "intercept",
        "ece": "ECE, equal counts",
        "ece_equal_width": "ECE, equal width",
    }

    def cells(row):
        both = (row, row["calibrated"]) if row["calibrated"] else (row,)
        return {title: " → ".join(number(one[key]) for one in both) for key, title in columns.items()}

    return _frame({name: cells(row) for name, row in summary["findings"].items()})


def operating_point(summary: Summary, point: str) -> pd.DataFrame:
    """Returns threshold, confusion counts and rates of one operating point, by finding."""
    return _frame({name: _decisions(row, point) for name, row in summary["findings"].items()})


def _decisions(row, point) -> dict[str, str]:
    found = (row["operating_points"] or {}).get(point)
    titles = ("threshold", "TP", "FP", "TN", "FN", "sensitivity", "specificity", "PPV")
    if found is None:
        return dict.fromkeys(titles, "–")
    counts = [f"{found[key]:,}" for key in ("true_positives", "false_positives", "true_negatives", "false_negatives")]
    rates = [score_text(found, key) for key in ("sensitivity", "specificity", "ppv")]
    threshold = f"{found['threshold']:.3g}" + (", unstable" if found["unstable"] else "")
    cells = dict(zip(titles, (threshold, *counts, *rates), strict=True))
    if "ppv_at_prevalence" in found:
        cells["PPV at the given prevalence"] = number(found["ppv_at_prevalence"])
    return cells


def prevalences(summary: Summary) -> pd.DataFrame:
    """Returns the prevalence on the validation split and on this one, and their ratio, by finding."""

    def cells(row):
        before, here = row["validation_prevalence"], row["prevalence"]
        percent = [number(None if value is None else 100 * value, 2) for value in (before, here)]
        ratio = None if here is None or not before else here / before
        return dict(zip(("validation, %", "this split, %", "ratio"), (*percent, number(ratio, 2)), strict=True))

    return _frame({name: cells(row) for name, row in summary["findings"].items()})


def subgroup_means(groups: Mapping[str, Summary]) -> pd.DataFrame:
    """Returns counts and macro means of each subgroup of one attribute."""
    return _frame(
        {
            str(value): {
                "images": f"{group['images']:,}",
                "patients": f"{group['patients']:,}",
                "findings": str(group["means"]["macro"]["findings"]),
                "mean AUROC (95% interval)": score_text(group["means"]["macro"], "auroc"),
                "mean average precision (95% interval)": score_text(group["means"]["macro"], "average_precision"),
            }
            for value, group in groups.items()
        }
    )


def subgroup_findings(groups: Mapping[str, Summary]) -> pd.DataFrame:
    """Returns the AUROC of each finding (rows) in each subgroup (columns), with the number of positives."""
    names = next(iter(groups.values()))["findings"]

    def cell(row):
        return f"{score_text(row, 'auroc')}, n={row['positives']:,}"

    return _frame(
        {name: {str(value): cell(group["findings"][name]) for value, group in groups.items()} for name in names}
    )


def published_means(summary: Summary) -> pd.DataFrame:
    """Returns the mean AUROC of published results and of this one, in order."""
    ours = {"method": "this evaluation", "network": "", "image_size": None, "source": "", "interval": None}
    macro = summary["means"]["macro"]
    ours |= {"mean_auroc": round(macro["auroc"], 3), "interval": macro["auroc_interval"]}
    results = sorted([*published()["results"], ours], key=lambda result: result["mean_auroc"])
    rows = [
        {
            "method": result["method"],
            "network": result["network"],
            "pixels": str(result["image_size"] or "–"),
            "mean AUROC (interval as stated)": stated(result["mean_auroc"])
            + (f" ({interval_text(result['interval'])})" if result["interval"] else ""),
            "source": result["source"],
        }
        for result in results
    ]
    return pd.DataFrame(rows).set_index("method").rename_axis(None)


def published_findings(summary: Summary) -> pd.DataFrame:
    """Returns the AUROC of each finding here and in the published results that state it."""
    columns = {result["method"]: result["findings"] for result in published()["results"] if "findings" in result}
    return _frame(
        {
            name: {"this evaluation": score_text(row, "auroc")}
            | {method: stated(values[name]) for method, values in columns.items()}
            for name, row in summary["findings"].items()
        }
    )


def _frame(rows: Mapping[str, Mapping[str, str]]) -> pd.DataFrame:
    return pd.DataFrame.from_dict(dict(rows), orient="index")


def median_and_range(ratios: Iterable[tuple[float, str]]) -> str:
    """Formats ratios of named findings: "1.21 (from 0.95, Edema, to 1.60, Effusion)"."""
    ordered = sorted(ratios)
    middle = float(np.median([ratio for ratio, _ in ordered]))
    (low, first), (high, last) = ordered[0], ordered[-1]
    return f"{middle:.2f} (from {low:.2f}, {first}, to {high:.2f}, {last})"

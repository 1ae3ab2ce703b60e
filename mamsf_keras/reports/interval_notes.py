"""Sentences about the intervals of an evaluation, for its report and its Markdown table."""

from collections.abc import Mapping
from typing import Any

from mamsf_keras.config import FEW_PATIENTS
from mamsf_keras.reports.evaluation_tables import median_and_range, width_ratio
from mamsf_keras.reports.score_text import mean_name

Summary = Mapping[str, Any]


def interval_note(summary: Summary) -> str:
    """Returns what the two kinds of interval mean and how their widths compare."""
    per_patient = summary["images"] / max(summary["patients"], 1)
    text = (
        "The patient-level interval (blue) resamples patients with all their images. The image-level interval "
        "(orange, DeLong) assumes independent images, which images of the same patient are not. "
    )
    if not summary.get("patients_known", True):
        return text + (
            "Here each image counts as a separate patient. If patients have several images, both intervals are too "
            "narrow: add a column of patients to the predictions or the labels."
        )
    ratios = [(ratio, name) for name, row in summary["findings"].items() if (ratio := width_ratio(row)) is not None]
    text += f"A patient has {per_patient:.2f} images on average. "
    if not ratios:
        return text + "No finding has both intervals."
    return text + (
        "The median ratio of the widths, patient-level over image-level, is "
        f"{median_and_range(ratios)}. The patient-level interval is the one to report."
    )


def mean_gaps(summary: Summary) -> list[str]:
    """Returns why means have no interval."""
    return [
        f"No interval for the {mean_name(name)}, because it includes findings with {FEW_PATIENTS}: "
        f"{', '.join(row['too_few_patients'])}."
        for name, row in summary["means"].items()
        if row.get("too_few_patients")
    ]


def usable_notes(summary: Summary) -> list[str]:
    """Returns the share of the resamples with positives and negatives where it is below 1."""
    rows = summary["findings"] | {mean_name(name): row for name, row in summary["means"].items()}
    shares = {name: row["usable_resamples"] for name, row in rows.items() if row["auroc"] is not None}
    partly = ", ".join(f"{name} ({share:.2%})" for name, share in shares.items() if share < 1)
    if not partly:
        return []
    return [f"Not all resamples have both positives and negatives; the share that does: {partly}."]

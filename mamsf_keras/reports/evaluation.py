"""The report on an evaluation: one self-contained HTML file."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mamsf_keras.config import FEW_PATIENTS
from mamsf_keras.reports import evaluation_plots as plots
from mamsf_keras.reports import evaluation_tables as tables
from mamsf_keras.reports import html
from mamsf_keras.reports.evaluation_details import Pixels, error_blocks, published_blocks, subgroup_blocks
from mamsf_keras.reports.evaluation_notes import (
    calibration_gaps,
    groups_note,
    operating_point_gaps,
    protocol_facts,
    score_gaps,
)
from mamsf_keras.reports.interval_notes import interval_note, mean_gaps, usable_notes
from mamsf_keras.reports.score_text import score_text


def write_evaluation_report(
    out: str | Path,
    summary: Mapping[str, Any],
    curves: Mapping[str, Mapping],
    errors: Mapping[str, Mapping],
    pixels: Pixels | None = None,
) -> None:
    """Writes the report atomically. Equal arguments give equal files.

    Args:
        out: the file.
        summary: the content of `metrics-SPLIT.json`.
        curves: by finding, `roc`, `precision_recall`, `calibration` and `calibrated`, each `(x, y, low, high)` or
            None. Arrays of equal length; `low` and `high` are None without a band.
        errors: by finding, `false_positives` and `false_negatives`, the worst first: dictionaries of `row`, `image`,
            `probability` and `labels`.
        pixels: function from a `row` of `errors` to gray pixels, uint8 `(height, width)`; None shows no images.
    """
    sections = {
        "protocol": ("Protocol", [html.facts(protocol_facts(summary)), _notes(summary)]),
        "auroc": ("AUROC", _auroc(summary)),
        "means": ("Means over findings", _means(summary)),
        "roc": ("ROC curves", _ranking(summary, curves, "roc", plots.roc, "auroc")),
        "pr": (
            "Precision-recall curves",
            _ranking(summary, curves, "precision_recall", plots.precision_recall, "average_precision"),
        ),
        "calibration": ("Calibration", _calibration(summary, curves)),
        "operating-points": ("Operating points", _operating_points(summary)),
        "prevalence": ("Prevalence", _prevalence(summary)),
        "subgroups": ("Subgroups", subgroup_blocks(summary)),
        "errors": ("Worst errors", error_blocks(errors, pixels)),
        "published": ("Published results", published_blocks(summary)),
    }
    blocks = [_headline(summary), html.contents({anchor: title for anchor, (title, _) in sections.items()})]
    for anchor, (title, content) in sections.items():
        blocks += [html.heading(title, anchor=anchor), *content]
    html.write_page(out, _title(summary), blocks)


def _title(summary) -> str:
    if "split" not in summary:
        return "Evaluation of a predictions file"
    return f"Evaluation on the {summary['split']} split, {summary['protocol']} protocol"


def _headline(summary) -> str:
    macro = summary["means"]["macro"]
    return html.warning(
        "Not a medical device. These results describe a research model on one data set. They are not evidence of "
        "safety or clinical benefit."
    ) + html.paragraph(
        f"Mean AUROC {score_text(macro, 'auroc')}, mean average precision {score_text(macro, 'average_precision')}, "
        f"over {macro['findings']} findings, on {summary['images']:,} images of {summary['patients']:,} patients. "
        "Ranges in parentheses are 95% intervals."
    )


def _notes(summary) -> str:
    return html.heading("Notes on the data", 3) + html.bullets(summary["notes"]) if summary["notes"] else ""


def _auroc(summary) -> list[str]:
    draw = functools.partial(plots.forest, summary=summary)
    return [
        html.drawing(draw, "Forest plot of AUROC", 4.6, plots.forest_height(summary), "wide"),
        html.paragraph(interval_note(summary)),
        html.table(tables.discrimination(summary)),
        html.bullets([*score_gaps(summary), *usable_notes(summary)]),
    ]


def _means(summary) -> list[str]:
    groups = groups_note(summary)
    absent = [kind for kind in ("head", "medium", "tail") if groups and kind not in summary["means"]]
    return [
        html.paragraph(
            (f"{groups} " if groups else "") + "Undefined findings are left out of the means. The micro average pools "
            "the labels of all findings, so it also compares the probabilities of different findings."
        ),
        html.table(tables.means(summary)),
        html.bullets([*mean_gaps(summary), *(f"No finding is in the {kind} group." for kind in absent)]),
    ]


def _ranking(summary, curves, kind, draw, metric) -> list[str]:
    """Returns the ROC or the precision-recall curves of all findings."""
    line = "The dashed line is chance." if kind == "roc" else "The dashed line is the prevalence."
    has_points = any(row["operating_points"] for row in summary["findings"].values())
    dot = " The circle is the operating point with the highest sensitivity + specificity on validation."
    figures = []
    for name, row in summary["findings"].items():
        if (curve := curves[name][kind]) is not None:
            image = html.drawing(functools.partial(draw, curve=curve, row=row), f"{kind} curve of {name}")
            figures.append(html.figure(image, f"{name}\n{score_text(row, metric)}"))
    return [
        html.paragraph(
            "The shaded band holds 95% of 200 resamples of the patients at each point. It is not drawn for "
            f"{FEW_PATIENTS}. {line}" + (dot if has_points else "")
        ),
        html.box("grid", figures),
        html.bullets(score_gaps(summary, intervals=False)),
    ]


def _calibration(summary, curves) -> list[str]:
    figures = []
    for name in summary["findings"]:
        if (raw := curves[name]["calibration"]) is not None:
            draw = functools.partial(plots.calibration, raw=raw, calibrated=curves[name]["calibrated"])
            figures.append(html.figure(html.drawing(draw, f"calibration of {name}"), name))
    return [
        html.paragraph(
            "Each marker is one of 15 bins of equal counts: gray squares for raw probabilities, blue circles for "
            "calibrated ones (Platt scaling, fitted on the validation split). Lines through markers hold 95% of 200 "
            "resamples of the patients. On the dashed line, probabilities agree with outcomes. The axes end where the "
            "bins do."
        ),
        html.box("grid", figures),
        html.paragraph(
            "Raw → calibrated. A slope of 1 and an intercept of 0 are ideal: a slope below 1 means that probabilities "
            "are too extreme, an intercept below 0 that they are too high. ECE is the expected calibration error."
        ),
        html.table(tables.calibration(summary)),
        html.bullets(calibration_gaps(summary)),
    ]


def _operating_points(summary) -> list[str]:
    gaps = html.bullets(operating_point_gaps(summary))
    if not any(row["operating_points"] for row in summary["findings"].values()):
        return [gaps]
    blocks = [
        html.paragraph(
            "Thresholds of the raw probability, chosen on the validation split and applied unchanged. TP, FP, TN and "
            "FN count images: true and false positives, true and false negatives. PPV holds at the prevalence of this "
            "split. A threshold from fewer than 20 positive validation patients is marked unstable: it may differ "
            "widely on other patients."
        )
    ]
    for point, title in tables.POINTS.items():
        blocks += [html.heading(title, 3), html.table(tables.operating_point(summary, point))]
    return [*blocks, gaps]


def _prevalence(summary) -> list[str]:
    if not summary["calibrated"]:
        return [html.paragraph("No calibration was applied, so there is no validation split to compare with.")]
    return [
        html.paragraph(
            "Calibration and PPV carry over from the validation split only where the prevalence is similar. Where a "
            "finding is more frequent here (ratio above 1), expect calibrated probabilities that are too low; where it "
            "is rarer (ratio below 1), too high."
        ),
        html.table(tables.prevalences(summary)),
    ]

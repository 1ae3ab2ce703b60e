"""Sections of the report on an evaluation: subgroups, the worst errors, and published results."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from mamsf_keras.config import FEW_PATIENTS
from mamsf_keras.reports import evaluation_tables as tables
from mamsf_keras.reports import html
from mamsf_keras.reports.evaluation_notes import published_gap

Pixels = Callable[[int], np.ndarray]
"""A function from a row of the predictions to gray pixels, uint8 `(height, width)`."""

ATTRIBUTES = {"sex": "Sex", "age": "Age, years", "view": "View position"}


def subgroup_blocks(summary: Mapping[str, Any]) -> list[str]:
    """Returns the means and the AUROC of each finding by subgroup."""
    if not summary["subgroups"]:
        return [html.paragraph("Sex, age and view position are not known.")]
    blocks = [
        html.paragraph(
            "Means of subgroups can be over different findings: a finding is left out, and has a dash below, where a "
            "subgroup lacks positives or negatives. n is the number of positive images. No interval is given for "
            f"{FEW_PATIENTS}, or for a mean with such a finding. Overlapping intervals do not show that subgroups are "
            "alike."
        )
    ]
    for attribute, groups in summary["subgroups"].items():
        blocks.append(html.heading(ATTRIBUTES[attribute], 3))
        blocks += [html.table(tables.subgroup_means(groups)), html.paragraph("AUROC by finding:")]
        blocks.append(html.table(tables.subgroup_findings(groups)))
    return blocks


def error_blocks(errors: Mapping[str, Mapping], pixels: Pixels | None) -> list[str]:
    """Returns the worst false positives and false negatives of each finding, as thumbnails or as names of images."""
    text = (
        "The negatives with the highest and the positives with the lowest probability, one image per patient. "
        "Where there are operating points, only images on the wrong side of the threshold with the highest "
        "sensitivity + specificity count. Captions show the probability, the labels and the image. Labels can be "
        "wrong too: those of NIH come from text mining of radiology reports. "
    )
    if pixels is None:
        blocks = [html.paragraph(text + "No images are shown: a predictions file was evaluated, without the images.")]
    else:
        blocks = [html.paragraph(text + "Share these images only if the terms of the data allow it.")]
    for name, kinds in errors.items():
        pair = [
            html.box("", [html.heading(f"{name}: {title}", 3), _examples(kinds[kind], pixels)])
            for kind, title in (("false_positives", "false positives"), ("false_negatives", "false negatives"))
        ]
        blocks.append(html.box("pairs", pair))
    return blocks


def _examples(examples, pixels) -> str:
    if not examples:
        return html.paragraph("None.")
    captions = [
        (f"{example['probability']:.3g}", ", ".join(example["labels"]) or "no finding", example["image"])
        for example in examples
    ]
    if pixels is None:
        return html.bullets(" · ".join(caption) for caption in captions)
    figures = [
        html.figure(html.thumbnail(pixels(example["row"]), example["image"]), "\n".join(caption))
        for example, caption in zip(examples, captions, strict=True)
    ]
    return html.box("thumbnails", figures)


def published_blocks(summary: Mapping[str, Any]) -> list[str]:
    """Returns published results next to those of this evaluation, or a sentence that states why there are none."""
    if gap := published_gap(summary):
        return [html.paragraph(gap)]
    return [
        html.paragraph(
            "Published mean AUROC over the 14 findings on the same 25,596 images, the official test split. "
            "Pretraining, networks and image sizes differ. Intervals are as their authors state them, and often treat "
            "images as independent. MAMSF (arXiv 2605.02292: 0.8682) is not listed, because its abstract does not "
            "state the split."
        ),
        html.table(tables.published_means(summary)),
        html.heading("By finding", 3),
        html.table(tables.published_findings(summary)),
    ]

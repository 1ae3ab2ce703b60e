"""Published results on the official test split of ChestX-ray14. Shown only next to results on the same images."""

import functools
import importlib.resources
import json
from collections.abc import Mapping
from typing import Any


@functools.cache
def published() -> dict[str, Any]:
    """Returns the content of `published.json`.

    `protocol` holds what identifies the official test split: `protocol`, `split`, `images`, `patients` and the
    `positives` of each finding. `results` holds `method`, `network`, `image_size` in pixels, `mean_auroc` over the 14
    findings, `interval`, `source`, and for some results the AUROC by finding in `findings`; None where not stated.
    """
    text = importlib.resources.files("mamsf_keras.reports").joinpath("published.json").read_text(encoding="utf-8")
    return json.loads(text)


def difference_from_protocol(summary: Mapping[str, Any]) -> str | None:
    """Returns why an evaluation must not be compared with the published results, or None if it may.

    The counts of images, patients and positives identify the official test split: generated data and subsets in the
    same format differ in them.

    Args:
        summary: the content of `metrics-SPLIT.json`.
    """
    protocol = published()["protocol"]
    for name in ("protocol", "split"):
        if summary.get(name) != protocol[name]:
            stated = summary[name] if summary.get(name) else "not stated in a predictions file"
            return f"the {name} is {stated}"
    if set(summary["findings"]) != set(protocol["positives"]):
        return "the findings are not the 14 NIH findings"
    for name in ("images", "patients"):
        if summary[name] != protocol[name]:
            return f"there are {summary[name]:,} {name}"
    for name, positives in protocol["positives"].items():
        row = summary["findings"][name]
        if row["masked"] or row["positives"] != positives:
            return f"the labels of {name} are not the NIH labels"
    return "patients are in more than one split" if summary["patient_overlap"] else None

"""The sentences of the report on an evaluation: the protocol, and why a value is missing."""

from collections.abc import Mapping
from typing import Any

from mamsf_keras.config import FEW_PATIENTS, FEWEST_PATIENTS
from mamsf_keras.reports.evaluation_tables import POINTS
from mamsf_keras.reports.published import difference_from_protocol

Summary = Mapping[str, Any]

LABELS_AS = {"mask": "left out", "negative": "counted as negative", "positive": "counted as positive"}
"""What `blank` and `uncertain` of a label table do."""


def protocol_facts(summary: Summary) -> dict[str, str]:
    """Returns the protocol, data, model and versions by name, as text."""
    data = summary.get("fingerprint")
    overlap = summary.get("patient_overlap")
    known = {
        "Protocol": summary.get("protocol") or "not stated in a predictions file",
        "Split": summary.get("split") or "not stated in a predictions file",
        "Images": f"{summary['images']:,}",
        "Patients": f"{summary['patients']:,}",
        "Patients in more than one split": "not known" if overlap is None else f"{overlap:,}",
        "Data folder": summary.get("data_dir"),
        "Data fingerprint": f"{data['images']:,} images in all splits, SHA-256 {data['sha256']}" if data else None,
        "Predictions": summary.get("predictions"),
        "Predictions checksum": _sha256(summary.get("predictions_sha256")),
        "Labels": summary.get("labels"),
        "Labels checksum": _sha256(summary.get("labels_sha256")),
        "Blank labels": LABELS_AS.get(summary.get("blank") or ""),
        "Uncertain labels": LABELS_AS.get(summary.get("uncertain") or ""),
        "Model checksum": _sha256(summary.get("model_sha256")),
        **_calibration_facts(summary),
        "PPV is also given at": _prevalences(summary.get("given_prevalence")),
        "Resamples of the patients": f"{summary['resamples']:,}",
        "Versions": ", ".join(f"{name} {version}" for name, version in summary["versions"].items()),
    }
    return {name: text for name, text in known.items() if text is not None}


def _calibration_facts(summary) -> dict[str, str | None]:
    fitted = "applied, fitted on the validation split" if summary["calibrated"] else "none"
    file = summary.get("calibration")
    if file is None:
        return {"Calibration": fitted}
    model = _sha256(file["model_sha256"]) or "not recorded"
    return {
        "Calibration": f"{fitted}, {file['path']}",
        "Calibration checksum": _sha256(file["sha256"]),
        "Model of the calibration": model,
    }


def _prevalences(given) -> str | None:
    texts = [f"prevalence {value:g} of {name or 'all other findings'}" for name, value in (given or {}).items()]
    return ", ".join(texts) or None


def _sha256(checksum) -> str | None:
    return checksum and f"SHA-256 {checksum}"


def score_gaps(summary: Summary, intervals: bool = True) -> list[str]:
    """Returns why AUROC and average precision, or their intervals, are missing."""
    rows = summary["findings"]
    undefined = {name: row for name, row in rows.items() if row["auroc"] is None}
    notes = []
    if undefined:
        names = ", ".join(
            f"{name} ({row['positives']:,} of {row['images']:,} positive)" for name, row in undefined.items()
        )
        notes.append(f"Undefined, because all or none of the images have the finding: {names}.")
    masked = [f"{name} ({row['masked']:,})" for name, row in rows.items() if row["masked"]]
    if masked:
        notes.append(f"Images without a label, left out: {', '.join(masked)}.")
    if not intervals:
        return notes
    without = {name: row for name, row in rows.items() if row["auroc"] is not None and row["auroc_interval"] is None}
    extreme = [name for name, row in without.items() if row["auroc"] in (0, 1)]
    few = {name: counts for name, row in without.items() if (counts := _few_patients(row))}
    equal = [name for name in without if name not in extreme and name not in few]
    if few:
        named = ", ".join(f"{name} ({counts})" for name, counts in few.items())
        notes.append(f"No patient-level interval with {FEW_PATIENTS}: {named}.")
    if extreme:
        notes.append(f"No interval for an AUROC of exactly 0 or 1: {', '.join(extreme)}.")
    if equal:
        notes.append(f"No interval where all resamples agree, as for equal scores: {', '.join(equal)}.")
    return notes


def groups_note(summary: Summary) -> str | None:
    """Returns what head, medium and tail mean, or None if no finding is in such a group."""
    if not {"head", "medium", "tail"} & set(summary["means"]):
        return None
    head, medium = (f"{100 * limit:g}%" for limit in summary["group_limits"])
    source = "training images" if "protocol" in summary else "images of the whole NIH table"
    return (
        f"Head findings occur in at least {head} of the {source}, medium findings in at least {medium}, tail findings "
        "in fewer."
    )


def _few_patients(row) -> str:
    """Returns the numbers of patients below 10 in words, such as "7 positive", or ""."""
    counts = {kind: row[f"{kind}_patients"] for kind in ("positive", "negative")}
    return ", ".join(f"{count} {kind}" for kind, count in counts.items() if count < FEWEST_PATIENTS)


def calibration_gaps(summary: Summary) -> list[str]:
    """Returns why calibrated values or slopes are missing."""
    rows = summary["findings"]
    empty = [name for name, row in rows.items() if row["brier"] is None]
    notes = [f"No labeled images: {', '.join(empty)}."] if empty else []
    if not summary["calibrated"]:
        notes.append("No calibration was applied: only raw probabilities are shown.")
    else:
        lacking = [name for name, row in rows.items() if row["calibrated"] is None]
        if lacking:
            notes.append(
                f"No calibrated probabilities for {', '.join(lacking)}: the validation labels contain only one class, "
                "the scores are all equal, or the calibration lacks the finding."
            )
    reversed_ = [name for name, row in rows.items() if _is_reversed(row)]
    if reversed_:
        notes.append(
            f"The calibration reverses the scores of {', '.join(reversed_)}: on the validation split, higher scores "
            "went with fewer positives. Do not use these calibrated probabilities."
        )
    parts = [(name, part) for name, row in rows.items() for part in (row, row["calibrated"]) if part]
    slopes = dict.fromkeys(name for name, part in parts if part["calibration_slope"] is None and name not in empty)
    if slopes:
        notes.append(
            f"No slope for {', '.join(slopes)}: the labels contain only one class, or the probabilities separate them "
            "or are all equal."
        )
    return notes


def _is_reversed(row) -> bool:
    """Returns True if raw and calibrated probabilities have slopes of opposite signs."""
    raw, calibrated = row["calibration_slope"], (row["calibrated"] or {}).get("calibration_slope")
    return raw is not None and calibrated is not None and raw * calibrated < 0


def operating_point_gaps(summary: Summary) -> list[str]:
    """Returns why operating points or their rates are missing."""
    if not summary["calibrated"]:
        return ["No operating points: no calibration was applied. Thresholds are never chosen on the evaluated images."]
    notes = []
    lacking = [
        name
        for name, row in summary["findings"].items()
        if any((row["operating_points"] or {}).get(point) is None for point in POINTS)
    ]
    if lacking:
        notes.append(
            f"No threshold for {', '.join(lacking)}: the validation labels contain only one class, the calibration "
            "lacks the finding, or there are no labeled images."
        )
    points = [
        (name, point)
        for name, row in summary["findings"].items()
        for point in (row["operating_points"] or {}).values()
        if point
    ]
    rates = dict.fromkeys(
        name for name, point in points if None in (point["sensitivity"], point["specificity"], point["ppv"])
    )
    if rates:
        notes.append(f"A rate is undefined where its denominator is 0: {', '.join(rates)}.")
    few = f"A rate has no interval with fewer than {FEWEST_PATIENTS} patients in its denominator, or if it is 0 or 1."
    return [*notes, few]


def published_gap(summary: Summary) -> str | None:
    """Returns why no published results are shown, or None if they may be."""
    difference = difference_from_protocol(summary)
    return difference and (
        "Not shown. Published results are comparable only on the official NIH test split: all 25,596 images, all 14 "
        f"findings, no patient in two splits. Here {difference}."
    )

"""The predictions as text for a terminal."""

from collections.abc import Sequence

from mamsf_keras.inference.records import Record

TOP = 3
"""Findings per image in the table of several images."""
PATH_WIDTH = 44


def predictions_table(records: Sequence[Record], count: int, operating_point: str | None) -> str:
    """Formats predictions: one row per finding for a single image, else one row per image.

    Args:
        records: the first records; those of unreadable images are left out.
        count: number of all images that were predicted.
        operating_point: name of the operating point; None for that of an export.
    """
    shown = [record for record in records if "error" not in record]
    at = f"positive ({operating_point})" if operating_point else "positive"
    if count == 1:
        return _by_finding(shown[0], at)
    lines = [_by_image_header(shown[0], at), *map(_by_image, shown)]
    if count > len(shown):
        lines.append(f"... and {count - len(shown):,} more images")
    return "\n".join(lines)


def _by_finding(record, at) -> str:
    keys = [key for key in ("probability", "calibrated", "positive") if key in next(iter(record["findings"].values()))]
    titles = {"probability": "probability", "calibrated": "calibrated", "positive": at}
    lines = [record["image"], f"{'finding':<20}" + "".join(f"{titles[key]:>{len(titles[key]) + 3}}" for key in keys)]
    for name, finding in record["findings"].items():
        lines.append(f"{name:<20}" + "".join(f"{_cell(finding[key]):>{len(titles[key]) + 3}}" for key in keys))
    return "\n".join(lines)


def _by_image_header(record, at) -> str:
    first = next(iter(record["findings"].values()))
    scores = "most probable (calibrated)" if "calibrated" in first else "most probable"
    return f"{'image':<{PATH_WIDTH}}  {scores}" + (f" | {at}" if "positive" in first else "")


def _by_image(record) -> str:
    findings = record["findings"]
    path = record["image"]
    path = path if len(path) <= PATH_WIDTH else f"...{path[3 - PATH_WIDTH :]}"
    scores = []
    for name in most_probable(record, TOP):
        calibrated = f" ({_cell(findings[name]['calibrated'])})" if "calibrated" in findings[name] else ""
        scores.append(f"{name} {_cell(findings[name]['probability'])}{calibrated}")
    line = f"{path:<{PATH_WIDTH}}  {', '.join(scores)}"
    if "positive" in next(iter(findings.values())):
        line += f" | {', '.join(name for name, one in findings.items() if one['positive']) or 'none'}"
    return line


def most_probable(record: Record, count: int) -> list[str]:
    """Returns the findings with the highest probabilities."""
    findings = record["findings"]
    return sorted(findings, key=lambda name: -findings[name]["probability"])[:count]


def _cell(value) -> str:
    if value is None:
        return "-"
    return ("yes" if value else "no") if isinstance(value, bool) else f"{value:.3f}"

"""Predictions as records, and the files that they are streamed to."""

import contextlib
import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mamsf_keras.config import NOTICE
from mamsf_keras.inference.reading import InputImage
from mamsf_keras.inference.source import Scores, Source
from mamsf_keras.storage import atomic_write

SCHEMA_VERSION = 1
"""Version of the JSON file; docs/predicting.md describes its fields."""

Record = dict[str, Any]
Write = Callable[[Record], object]


def make_records(images: list[InputImage], source: Source, scores: Scores | None) -> list[Record]:
    """Returns one record per image, in order.

    Args:
        images: the images that were read, including unreadable ones.
        source: the source of the predictions.
        scores: the predictions of the readable ones; None if there are none.
    """
    records, row = [], 0
    for image in images:
        record: Record = {"image": str(image.path)}
        if image.error or scores is None:
            records.append({**record, "error": image.error})
            continue
        record |= {"width": image.width, "height": image.height}
        record |= {name: text for name in ("note", "warning") if (text := getattr(image, name))}
        record["findings"] = {
            name: _finding(scores, row, column) for column, name in enumerate(source.predictor.findings)
        }
        records.append(record)
        row += 1
    return records


def _finding(scores, row, column) -> Record:
    """Returns the predictions of one finding; None where it has no calibration or no threshold."""
    finding: Record = {"probability": _number(scores.probabilities[row, column])}
    if scores.calibrated is not None:
        finding["calibrated"] = _number(scores.calibrated[row, column])
    if scores.positive is not None:
        decision = scores.positive[row, column]
        finding["positive"] = None if np.isnan(decision) else bool(decision)
    return finding


def _number(value) -> float | None:
    """Returns a number with 9 digits, which distinguish all float32 values, or None for NaN."""
    return None if np.isnan(value) else float(f"{value:.9g}")


@contextlib.contextmanager
def json_writer(path: str | Path, source: Source) -> Iterator[Write]:
    """Yields a function that writes a record. The file appears when the block ends without an error."""
    header = {
        "schema_version": SCHEMA_VERSION,
        "notice": NOTICE,
        "source": source.name,
        "model_sha256": source.model_sha256,
        "image_size": source.image_size,
        "operating_point": source.operating_point,
        "thresholds": source.thresholds,
        "unstable": source.unstable,
    }
    with atomic_write(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(json.dumps(header, indent=2, allow_nan=False).removesuffix("\n}") + ',\n  "images": [')
        separator = "\n"

        def write(record):
            nonlocal separator
            file.write(f"{separator}    {json.dumps(record, allow_nan=False)}")
            separator = ",\n"

        yield write
        file.write("\n  ]\n}\n")


@contextlib.contextmanager
def csv_writer(path: str | Path, source: Source) -> Iterator[Write]:
    """Yields a function that writes the record of a readable image.

    The file appears when the block ends without an error.
    The columns are `image`, NAME, and for a source with a calibration NAME_calibrated and NAME_positive (1, 0 or
    blank). They are those of the first record. Bytes of a file name that are not UTF-8 are written as escapes.
    """
    with (
        atomic_write(path) as temporary,
        open(temporary, "w", encoding="utf-8", errors="backslashreplace", newline="") as file,
    ):
        table = csv.writer(file, lineterminator="\n")
        names = source.predictor.findings
        columns: list[str] = []

        def write(record):
            if "error" in record:
                return
            findings = record["findings"]
            if not columns:
                columns.extend(key for key in ("probability", "calibrated", "positive") if key in findings[names[0]])
                titles = [f"{name}_{key}".removesuffix("_probability") for key in columns for name in names]
                table.writerow(["image", *titles])
            table.writerow([record["image"], *(_cell(findings[name][key]) for key in columns for name in names)])

        yield write
        if not columns:
            table.writerow(["image", *names])


def _cell(value) -> str:
    return "" if value is None else f"{value:d}" if isinstance(value, bool) else f"{value:.9g}"

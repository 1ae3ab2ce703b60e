"""Heatmaps of predictions: a panel per image, and the peaks for the JSON file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mamsf_keras.explain.heatmap import evidence_maps, find_peak
from mamsf_keras.explain.overlay import FindingMap, Score, write_panel
from mamsf_keras.inference.boxes import RadiologistBoxes
from mamsf_keras.inference.reading import InputImage
from mamsf_keras.inference.records import Record
from mamsf_keras.inference.source import Source
from mamsf_keras.inference.table import TOP, most_probable
from mamsf_keras.predictors.keras_model import KerasPredictor


class Heatmaps:
    """Draws panels and adds the peaks to the records.

    Args:
        folder: folder for the panels; it is created if needed.
        source: a run, a `.keras` file or a folder in Keras format: heatmaps need the model itself.
        boxes: boxes drawn by radiologists.
        findings: findings to draw; None draws the most probable ones of each image.

    Raises:
        ValueError: if the source is not a Keras model, or a finding is unknown.
    """

    def __init__(
        self, folder: str | Path, source: Source, boxes: RadiologistBoxes, findings: Sequence[str] | None = None
    ) -> None:
        self.folder = Path(folder)
        self.source = source
        self.boxes = boxes
        self.findings = findings
        if not isinstance(source.predictor, KerasPredictor):
            raise ValueError(
                "`heatmaps` needs `run_dir`, or a .keras file or a folder in Keras format as `model`. Other exports "
                "have no feature maps."
            )
        unknown = [name for name in findings or () if name not in source.predictor.findings]
        if unknown:
            known = ", ".join(source.predictor.findings)
            raise ValueError(f"`findings` must be among {known}. Received: findings={', '.join(unknown)}.")
        self.model = source.predictor.model
        self.names: set[str] = set()

    def add(self, images: Sequence[InputImage], pixels: np.ndarray, records: Sequence[Record]) -> None:
        """Writes the panels of a batch, and adds `panel` and a `heatmap` per drawn finding to the records.

        Args:
            images: the readable images, with their original pixels.
            pixels: uint8 `(images, image_size, image_size)`.
            records: their records.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        evidence = evidence_maps(self.model, pixels[..., None])
        for image, maps, record in zip(images, evidence.maps, records, strict=True):
            self._panel(image, maps, record)

    def _panel(self, image, maps, record):
        boxes = self.boxes.of(image.path, image.height, image.width)
        shown = []
        for name in self.findings or most_probable(record, TOP):
            cells = maps[..., self.source.predictor.findings.index(name)]
            own = [box for finding, box in boxes if finding == name]
            shown.append(FindingMap(name, cells, find_peak(cells, image.height, image.width), own))
            record["findings"][name]["heatmap"] = describe(shown[-1], image.height, image.width)
        path = self.folder / f"{self._free_name(image.path.stem)}.png"
        scores = {name: Score(*_values(finding)) for name, finding in record["findings"].items()}
        write_panel(path, image.original, shown, scores, title=image.path.name, boxes=boxes)
        record["panel"] = str(path)

    def _free_name(self, stem):
        """Returns a name that no other panel has: images in different folders may have the same name."""
        name, number = stem, 1
        while name.lower() in self.names:
            number += 1
            name = f"{stem}-{number}"
        self.names.add(name.lower())
        return name


def _values(finding):
    return (finding["probability"], finding.get("calibrated"), finding.get("positive"))


def describe(shown: FindingMap, height: int, width: int) -> Record:
    """Returns what the JSON file holds of a map, in pixels of the original file, whose height and width are given."""
    peak, region = shown.peak, shown.region(height, width)
    return {
        "positive_evidence": peak is not None,
        "peak": None if peak is None else {"x": peak.x, "y": peak.y, "logits": float(f"{peak.value:.6g}")},
        "box": None if region is None else _box(region),
        "radiologist_boxes": [_box(box) for box in shown.boxes],
    }


def _box(box):
    return dict(zip(("x", "y", "width", "height"), (round(float(value), 2) for value in box), strict=True))

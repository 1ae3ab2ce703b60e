"""A panel of one image: the X-ray, evidence maps over it, and the probabilities."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mamsf_keras.config import NOTICE
from mamsf_keras.explain.heatmap import Peak
from mamsf_keras.images.gray import resize_map
from mamsf_keras.storage import atomic_write

Box = tuple[float, float, float, float]
"""Left, top, width and height in pixels of the image."""

SHOWN_PIXELS = 640
"""Longest side at which the image is drawn."""
OPACITY = 0.6
MAP_COLOR, PEAK_COLOR, BOX_COLOR = "orangered", "cyan", "lime"
SHADE = {"facecolor": "black", "alpha": 0.6, "edgecolor": "none", "pad": 1.5}
"""Background of text on the image."""


@dataclasses.dataclass(frozen=True)
class FindingMap:
    """What a panel shows of one finding.

    Attributes:
        finding: name of the finding.
        cells: the evidence map, `(h, w)`.
        peak: the peak of the map, in pixels of the image; None if there is no positive evidence.
        boxes: boxes drawn by radiologists.
    """

    finding: str
    cells: np.ndarray
    peak: Peak | None
    boxes: Sequence[Box] = ()

    def region(self, height: int, width: int) -> Box | None:
        """Returns the box around the peak; None without a peak, or if it is the whole image, which locates nothing."""
        whole = (0, 0, width, height)
        return None if self.peak is None or self.peak.box == whole else self.peak.box


@dataclasses.dataclass(frozen=True)
class Score:
    """The predictions for one finding.

    Attributes:
        probability: probability in [0, 1].
        calibrated: calibrated probability; None without a calibration.
        positive: decision at the operating point; None without a threshold.
    """

    probability: float
    calibrated: float | None = None
    positive: bool | None = None


def write_panel(
    path: str | Path,
    gray: np.ndarray,
    maps: Sequence[FindingMap],
    scores: Mapping[str, Score],
    *,
    title: str,
    boxes: Sequence[tuple[str, Box]] = (),
) -> None:
    """Writes a PNG: the X-ray, one map per finding over it, and a bar per finding.

    Args:
        path: the file to write.
        gray: uint8 `(height, width)`.
        maps: the maps to show, at least one.
        scores: scores of all findings, by name.
        title: heading.
        boxes: all boxes of radiologists, with their findings.
    """
    from matplotlib.figure import Figure

    height, width = gray.shape
    column = 3.6 * float(np.clip(width / height, 0.6, 1.6))
    figure = Figure(figsize=(column * (1 + len(maps)) + 3.8, 4.5), layout="constrained")
    ratios = [column] * (1 + len(maps)) + [3.8]
    xray, *places, bars = figure.subplots(1, len(ratios), width_ratios=ratios)
    draw_xray(xray, gray, boxes)
    for place, one in zip(places, maps, strict=True):
        draw_map(place, gray, one, scores[one.finding])
    draw_scores(bars, scores)
    title = title.encode("utf-8", "backslashreplace").decode()  # a file name may have bytes that cannot be drawn
    figure.suptitle(title, fontsize=10, x=0.01, ha="left", parse_math=False)
    figure.supxlabel(_legend(maps), fontsize=7.5, x=0.01, ha="left")
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")


def _legend(maps) -> str:
    rows, columns = maps[0].cells.shape
    return (
        f"Red: evidence for the finding, {rows} x {columns} cells, from none (clear) to the largest value of the map. "
        "Cross: peak; solid box: region around it. Dashed box: radiologist.\n"
        f"{NOTICE}"
    )


def draw_xray(axes: Any, gray: np.ndarray, boxes: Sequence[tuple[str, Box]]) -> None:
    """Draws the X-ray with all boxes of radiologists."""
    _draw_gray(axes, gray)
    axes.set_title("X-ray", fontsize=9)
    for finding, box in boxes:
        _draw_box(axes, box, BOX_COLOR, "--")
        axes.text(box[0], box[1], finding, color=BOX_COLOR, fontsize=7, va="bottom", bbox=SHADE, clip_on=True)


def draw_map(axes: Any, gray: np.ndarray, shown: FindingMap, score: Score) -> None:
    """Draws the positive evidence for one finding over the X-ray, with its peak; states if there is none."""
    from matplotlib.colors import ListedColormap

    _draw_gray(axes, gray)
    for box in shown.boxes:
        _draw_box(axes, box, BOX_COLOR, "--")
    height, width = gray.shape
    place = evidence_text(shown, height, width)
    axes.set_title(f"{shown.finding} {prediction_text(score)}\n{place}", fontsize=9)
    if shown.peak is None:
        axes.text(0.5, 0.06, place, color="white", fontsize=10, ha="center", bbox=SHADE, transform=axes.transAxes)
        return
    scale = min(SHOWN_PIXELS / max(height, width), 1)
    pixels = resize_map(np.maximum(shown.cells, 0), max(round(height * scale), 1), max(round(width * scale), 1))
    share = np.clip(pixels / shown.peak.value, 0, 1)
    color = ListedColormap([MAP_COLOR])
    axes.imshow(share, cmap=color, alpha=OPACITY * share, extent=(0, width, height, 0))
    axes.plot(shown.peak.x, shown.peak.y, "+", color=PEAK_COLOR, markersize=11, markeredgewidth=1.8)
    if (region := shown.region(height, width)) is not None:
        _draw_box(axes, region, PEAK_COLOR, "-")


def evidence_text(shown: FindingMap, height: int, width: int) -> str:
    """Describes the evidence of a map over an image in words."""
    if shown.peak is None:
        return "no positive evidence"
    spread = ", spread over the whole image" if shown.region(height, width) is None else ""
    return f"peak {shown.peak.value:+.1f} logits{spread}"


def prediction_text(score: Score) -> str:
    """Formats a probability with what follows from it: "0.62 (calibrated 0.55), positive"."""
    text = f"{score.probability:.2f}"
    if score.calibrated is not None:
        text += f" (calibrated {score.calibrated:.2f})"
    return text if score.positive is None else f"{text}, {'positive' if score.positive else 'negative'}"


def draw_scores(axes: Any, scores: Mapping[str, Score]) -> None:
    """Draws one bar per finding, in color where it is positive, with a dot at the calibrated probability."""
    names = list(scores)
    colors = ["tab:red" if scores[name].positive else "tab:gray" for name in names]
    axes.barh(names, [scores[name].probability for name in names], color=colors, height=0.7)
    calibrated = [(scores[name].calibrated, name) for name in names if scores[name].calibrated is not None]
    if calibrated:
        axes.plot(*zip(*calibrated, strict=True), "k.", markersize=6)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.tick_params(labelsize=8)
    positive = ", red: positive" if any(score.positive is not None for score in scores.values()) else ""
    axes.set_title(f"probability{positive}{', dot: calibrated' if calibrated else ''}", fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_gray(axes, gray):
    height, width = gray.shape
    image = Image.fromarray(gray)
    image.thumbnail((SHOWN_PIXELS, SHOWN_PIXELS), Image.Resampling.BILINEAR)
    axes.imshow(np.asarray(image), cmap="gray", vmin=0, vmax=255, extent=(0, width, height, 0))
    axes.axis("off")
    axes.set_autoscale_on(False)


def _draw_box(axes, box, color, style):
    from matplotlib.patches import Rectangle

    left, top, width, height = box
    axes.add_patch(Rectangle((left, top), width, height, fill=False, edgecolor=color, linestyle=style, linewidth=1.5))

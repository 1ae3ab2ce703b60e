"""The description of a data set as a single HTML file with embedded plots."""

import functools
import itertools
from pathlib import Path

import numpy as np

from mamsf_keras.config import SPLITS
from mamsf_keras.data.ages import OLDEST
from mamsf_keras.data.tables import patient_key
from mamsf_keras.reports import html
from mamsf_keras.reports.dataset import Description


def write_dataset_page(description: Description, title: str, out: str | Path) -> None:
    """Writes the page atomically.

    Args:
        description: what `describe` returned.
        title: the heading.
        out: the file.
    """
    blocks = [html.paragraph(note) for note in description.notes]
    height = max(4.5, len(description.findings) / 4)
    for (name, frame), draw in itertools.zip_longest(description.tables.items(), PLOTS):
        blocks.append(html.heading(name))
        if draw:
            blocks.append(html.plot(functools.partial(draw, description=description, frame=frame), height))
        blocks.append(html.table(frame))
    html.write_page(out, title, blocks)


def _positives(axis, description, frame):
    counts = description.table[list(description.findings)].eq(1).sum().sort_values()
    axis.barh(counts.index, counts)
    axis.set(xscale="symlog", xlabel="positive images")


def _prevalence(axis, description, frame):
    frame[list(SPLITS)].plot.bar(ax=axis, ylabel="% of the labeled images", width=0.8)


def _images_per_patient(axis, description, frame):
    for split in SPLITS:
        rows = description.table[description.table["split"] == split]
        counts = np.sort(rows["patient"].map(patient_key).value_counts())[::-1]
        axis.plot(np.arange(1, len(counts) + 1) / len(counts) * 100, counts.cumsum() / counts.sum() * 100, label=split)
    axis.set(xlabel="% of the patients, most images first", ylabel="% of the images")
    axis.legend()


def _ages(axis, description, frame):
    bins = np.arange(0, OLDEST + 5, 5)
    for split in SPLITS:
        rows = description.table[description.table["split"] == split]
        ages = rows["age"].dropna()
        axis.hist(ages, bins, weights=np.full(len(ages), 0.2 / max(len(ages), 1)), histtype="step", label=split)
    axis.set(xlabel="age, years", ylabel="share of the images per year")
    axis.legend()


def _co_occurrence(axis, description, frame):
    with_first = frame / np.maximum(np.diag(frame), 1)[:, None] * 100
    axis.imshow(with_first, cmap="Blues", vmin=0, vmax=100)
    axis.set_xticks(range(len(frame)), frame.columns, rotation=90, fontsize=7)
    axis.set_yticks(range(len(frame)), frame.index, fontsize=7)
    axis.set_title("% of the images with the finding of the row that have that of the column", fontsize=8)
    for (row, column), value in np.ndenumerate(with_first):
        axis.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=6, color="w" if value > 60 else "k")


PLOTS = (_positives, _prevalence, _images_per_patient, _ages, _co_occurrence)
"""The plots, in the order of the first tables of the description."""

"""The description of a data folder as one HTML file, with plots inside."""

import base64
import html
import io
import itertools

import numpy as np

from mamsf_keras.config import PARTS
from mamsf_keras.data.describe import OLDEST, Description
from mamsf_keras.data.tables import patient_key
from mamsf_keras.files import whole_file

STYLE = """
    body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
    table { border-collapse: collapse; font-size: 13px } td, th { padding: 2px 9px; text-align: right }
    tbody th { text-align: left; font-weight: normal } tr { border-bottom: 1px solid #ddd }
    div { overflow-x: auto } img { max-width: 100% }
"""


def write_page(description: Description, title: str, out):
    """Writes the page under a temporary name and renames it.

    Args:
        description: what `describe` returned.
        title: the heading.
        out: the file.
    """
    blocks = [f"<p>{html.escape(note)}</p>" for note in description.notes]
    for (name, frame), draw in itertools.zip_longest(description.tables.items(), PLOTS):
        picture = _picture(draw, description.studies, frame) if draw else ""
        blocks.append(f"<h2>{html.escape(name)}</h2>\n{picture}\n<div>{frame.to_html(border=0)}</div>")
    page = (
        f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style></head>\n<body>\n<h1>{html.escape(title)}</h1>\n"
        "<p>Written by mamsf-keras. For research and engineering, never for diagnosis.</p>\n"
        + "\n".join(blocks)
        + "\n</body>\n</html>\n"
    )
    with whole_file(out) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _picture(draw, studies, frame) -> str:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, max(4.5, len(studies.findings) / 4)), layout="constrained")
    draw(figure.subplots(), studies, frame)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">'


def _positives(axis, studies, frame):
    counts = studies.table[list(studies.findings)].eq(1).sum().sort_values()
    axis.barh(counts.index, counts)
    axis.set(xscale="symlog", xlabel="positive images")


def _prevalence(axis, studies, frame):
    frame[list(PARTS)].plot.bar(ax=axis, ylabel="% of the labelled images", width=0.8)


def _images_a_patient(axis, studies, frame):
    for part in PARTS:
        rows = studies.table[studies.table["part"] == part]
        counts = np.sort(rows["patient"].map(patient_key).value_counts())[::-1]
        axis.plot(np.arange(1, len(counts) + 1) / len(counts) * 100, counts.cumsum() / counts.sum() * 100, label=part)
    axis.set(xlabel="% of the patients, those with the most images first", ylabel="% of the images")
    axis.legend()


def _ages(axis, studies, frame):
    bins = np.arange(0, OLDEST + 5, 5)
    for part in PARTS:
        rows = studies.table[studies.table["part"] == part]
        ages = rows["age"].dropna()
        axis.hist(ages, bins, weights=np.full(len(ages), 0.2 / max(len(ages), 1)), histtype="step", label=part)
    axis.set(xlabel="age, years", ylabel="share of the images a year")
    axis.legend()


def _together(axis, studies, frame):
    with_first = frame / np.maximum(np.diag(frame), 1)[:, None] * 100
    axis.imshow(with_first, cmap="Blues", vmin=0, vmax=100)
    axis.set_xticks(range(len(frame)), frame.columns, rotation=90, fontsize=7)
    axis.set_yticks(range(len(frame)), frame.index, fontsize=7)
    axis.set_title("% of the images with the finding of the row that have that of the column", fontsize=8)
    for (row, column), value in np.ndenumerate(with_first):
        axis.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=6, color="w" if value > 60 else "k")


PLOTS = (_positives, _prevalence, _images_a_patient, _ages, _together)
"""The plots, in the order of the description's first tables."""

"""Building blocks of a self-contained HTML page: one file without external resources."""

import base64
import html
import io
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mamsf_keras.storage import atomic_write

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

STYLE = """
    body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
    h1, h2, h3, p, li, figcaption, .facts td { overflow-wrap: anywhere }
    h2 { margin-top: 2.5rem } h3 { margin: 1.2rem 0 .3rem; font-size: 1rem } img { max-width: 100% }
    table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums }
    td, th { padding: 2px 9px; text-align: right } tr { border-bottom: 1px solid #ddd }
    thead th { vertical-align: bottom }
    tbody th { text-align: left; font-weight: normal; position: sticky; left: 0; background: #fff }
    .scroll { overflow-x: auto } .scroll td, .scroll tbody th { white-space: nowrap }
    .facts td, .facts th { text-align: left; vertical-align: top; padding: 3px 9px 3px 0 } .facts th { color: #555 }
    .warning { border: 2px solid #b3261e; background: #fdf3f2; padding: .6rem .9rem; font-weight: 600 }
    .wide { display: block; width: 100%; max-width: 46rem }
    .grid { display: grid; gap: 10px; grid-template-columns: repeat(auto-fill, minmax(200px, 1fr)) }
    .pairs { display: grid; gap: 0 24px; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)) }
    .thumbnails { display: grid; gap: 6px; grid-template-columns: repeat(4, minmax(0, 1fr)) }
    figure { margin: 0; break-inside: avoid } figure img { display: block; width: 100% }
    figcaption { font-size: 12px; line-height: 1.3; padding: 2px 0; white-space: pre-line }
    @media (max-width: 600px) {
        body { margin: 1rem auto } .grid { grid-template-columns: repeat(2, minmax(0, 1fr)) }
        h1 { font-size: 1.5rem } .thumbnails { grid-template-columns: repeat(2, minmax(0, 1fr)) }
    }
    @media print {
        @page { margin: 12mm }
        body { font-size: 10pt; margin: 0; padding: 0; max-width: none } table { font-size: 7pt }
        td, th { padding: 1px 4px } .scroll { overflow: visible } .scroll td { white-space: normal }
        h2, h3 { break-after: avoid } tr, .pairs > div, .warning { break-inside: avoid }
        .grid { grid-template-columns: repeat(4, minmax(0, 1fr)) } nav { display: none }
        .pairs { grid-template-columns: repeat(2, minmax(0, 1fr)) } figcaption { font-size: 7pt }
        .thumbnails { grid-template-columns: repeat(4, minmax(0, 1fr)) } .wide { max-width: 30rem }
    }
"""

SVG: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "mamsf-keras",
    "font.size": 7.5,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
}
"""Settings of Matplotlib for `drawing`: text stays text, and ids are reproducible."""


def write_page(out: str | Path, title: str, blocks: Iterable[str]) -> None:
    """Writes a page atomically.

    Args:
        out: the file.
        title: the heading, plain text.
        blocks: HTML fragments below the heading.
    """
    page = (
        '<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title>"
        f"<style>{STYLE}</style></head>\n<body>\n<h1>{html.escape(title)}</h1>\n"
        "<p>Written by mamsf-keras. For research and engineering only; do not use it for diagnosis or treatment.</p>\n"
        + "\n".join(blocks)
        + "\n</body>\n</html>\n"
    )
    with atomic_write(out) as temporary:
        temporary.write_text(page, encoding="utf-8")


def paragraph(text: str) -> str:
    """Returns plain text as a paragraph."""
    return f"<p>{html.escape(text)}</p>"


def warning(text: str) -> str:
    """Returns plain text as a paragraph in a red frame."""
    return f'<p class="warning">{html.escape(text)}</p>'


def bullets(texts: Iterable[str]) -> str:
    """Returns plain texts as a list, "" if there are none."""
    items = "".join(f"<li>{html.escape(text)}</li>" for text in texts)
    return f"<ul>{items}</ul>" if items else ""


def heading(text: str, level: int = 2, anchor: str = "") -> str:
    """Returns plain text as a heading. Links of `contents` lead to its anchor."""
    mark = f' id="{html.escape(anchor)}"' if anchor else ""
    return f"<h{level}{mark}>{html.escape(text)}</h{level}>"


def contents(sections: Mapping[str, str]) -> str:
    """Returns links to headings, given as a mapping from anchor to text."""
    links = (f'<a href="#{html.escape(anchor)}">{html.escape(text)}</a>' for anchor, text in sections.items())
    return f"<nav><p>{' · '.join(links)}</p></nav>"


def table(frame: "pd.DataFrame") -> str:
    """Returns a data frame as a table that scrolls if the page is too narrow."""
    return f'<div class="scroll">{frame.to_html(border=0)}</div>'


def facts(rows: Mapping[str, str]) -> str:
    """Returns names and values, plain text, as a table of two columns whose lines wrap."""
    lines = (f"<tr><th>{html.escape(name)}</th><td>{html.escape(text)}</td></tr>" for name, text in rows.items())
    return f'<table class="facts"><tbody>{"".join(lines)}</tbody></table>'


def box(kind: str, blocks: Iterable[str]) -> str:
    """Returns blocks side by side: "grid", "pairs" or "thumbnails"; "" for one below the other."""
    return f'<div class="{kind}">' + "\n".join(blocks) + "</div>" if kind else f"<div>{''.join(blocks)}</div>"


def figure(image: str, caption: str) -> str:
    """Returns an image of `plot`, `drawing` or `thumbnail` above a caption of plain text, whose lines are kept."""
    return f"<figure>{image}<figcaption>{html.escape(caption)}</figcaption></figure>"


def plot(draw: Callable[[Any], object], height: float = 4.5, width: float = 9) -> str:
    """Returns a plot as an embedded image.

    Args:
        draw: function that draws on a Matplotlib axis.
        height: height of the figure in inches.
        width: width of the figure in inches; a page on a phone shows 9 inches at a third of their size.
    """
    from matplotlib.figure import Figure

    page = Figure(figsize=(width, height), layout="constrained")
    draw(page.subplots())
    buffer = io.BytesIO()
    page.savefig(buffer, format="png", dpi=110)
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">'


def drawing(draw: Callable[[Any], object], alt: str, width: float = 1.9, height: float = 1.9, kind: str = "") -> str:
    """Returns a plot of lines as an embedded SVG, which stays sharp at any size.

    Equal plots give equal text.

    Args:
        draw: function that draws on a Matplotlib axis.
        alt: description of the plot.
        width: width of the figure in inches; its text has 7.5 points.
        height: height of the figure in inches.
        kind: "wide" for the width of the page; "" for that of the figure around it.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(SVG):
        page = Figure(figsize=(width, height), layout="constrained")
        draw(page.subplots())
        buffer = io.BytesIO()
        page.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    content = base64.b64encode(buffer.getvalue()).decode()
    name = f'class="{kind}" ' if kind else ""
    return f'<img {name}alt="{html.escape(alt)}" src="data:image/svg+xml;base64,{content}">'


def thumbnail(pixels: "np.ndarray", alt: str, size: int = 128) -> str:
    """Returns gray pixels, uint8 `(height, width)`, as an embedded JPEG of at most `size` pixels."""
    from PIL import Image

    image = Image.fromarray(pixels)
    image.thumbnail((size, size), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=80)
    content = base64.b64encode(buffer.getvalue()).decode()
    return f'<img alt="{html.escape(alt)}" src="data:image/jpeg;base64,{content}">'

"""Building blocks of a self-contained HTML page: one file without external resources."""

import base64
import html
import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mamsf_keras.storage import atomic_write

if TYPE_CHECKING:
    import pandas as pd

STYLE = """
    body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
    table { border-collapse: collapse; font-size: 13px } td, th { padding: 2px 9px; text-align: right }
    tbody th { text-align: left; font-weight: normal } tr { border-bottom: 1px solid #ddd }
    div { overflow-x: auto } img { max-width: 100% }
"""


def write_page(out: str | Path, title: str, blocks: Iterable[str]) -> None:
    """Writes a page atomically.

    Args:
        out: the file.
        title: the heading, plain text.
        blocks: HTML fragments below the heading.
    """
    page = (
        f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{html.escape(title)}</title>'
        f"<style>{STYLE}</style></head>\n<body>\n<h1>{html.escape(title)}</h1>\n"
        "<p>Written by mamsf-keras. For research and engineering, never for diagnosis.</p>\n"
        + "\n".join(blocks)
        + "\n</body>\n</html>\n"
    )
    with atomic_write(out) as temporary:
        temporary.write_text(page, encoding="utf-8")


def paragraph(text: str) -> str:
    """Returns plain text as a paragraph."""
    return f"<p>{html.escape(text)}</p>"


def heading(text: str) -> str:
    """Returns plain text as a section heading."""
    return f"<h2>{html.escape(text)}</h2>"


def table(frame: "pd.DataFrame") -> str:
    """Returns a data frame as a table that scrolls if the page is too narrow."""
    return f"<div>{frame.to_html(border=0)}</div>"


def plot(draw: Callable[[Any], object], height: float = 4.5, width: float = 9) -> str:
    """Returns a plot as an embedded image.

    Args:
        draw: function that draws on a Matplotlib axis.
        height: height of the figure in inches.
        width: width of the figure in inches; a page on a phone shows 9 inches at a third of their size.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    draw(figure.subplots())
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">'

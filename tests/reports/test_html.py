import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mamsf_keras.reports import html

pytestmark = pytest.mark.no_keras

ODD = '<b>&"x"</b>'


class Texts(HTMLParser):
    """Collects the texts of a page, and the tags that are not closed."""

    def __init__(self, page):
        super().__init__()
        self.texts, self.open = [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def test_text_is_escaped_and_read_back(tmp_path):
    frame = pd.DataFrame({ODD: [ODD, "y"]}, index=["r", ODD])
    html.write_page(tmp_path / "p.html", ODD, [html.heading(ODD), html.paragraph(ODD), html.table(frame)])
    page = Texts((tmp_path / "p.html").read_text(encoding="utf-8"))
    assert page.texts.count(ODD) == 7  # title, heading of the page and the section, paragraph, three cells
    assert page.open == []
    assert [path.name for path in tmp_path.iterdir()] == ["p.html"]


def test_table_has_a_row_for_each_of_the_frame():
    page = html.table(pd.DataFrame({"a": [1, 2], "b": [3, 4]}, index=["x", "y"]))
    assert Texts(page).open == [] and page.count("<tr") == 3
    assert [text for text in Texts(page).texts if text.strip()] == ["a", "b", "x", "1", "3", "y", "2", "4"]


def test_plot_is_a_png_inside_the_page():
    tag = html.plot(lambda axis: axis.imshow(np.eye(3), cmap="gray"), height=3)
    [content] = re.findall(r'<img alt="" src="data:image/png;base64,([^"]+)">', tag)
    with Image.open(io.BytesIO(base64.b64decode(content))) as image:
        assert image.format == "PNG" and image.size == (990, 330)  # 9 x 3 inches of 110 pixels
        assert np.asarray(image.convert("L")).std() > 10


def test_drawing_is_an_svg_with_text_and_the_same_every_time():
    def draw(axis):
        axis.plot([0, 1], [0, 1])
        axis.set_xlabel("rate")

    tag = html.drawing(draw, ODD, kind="wide")
    assert tag == html.drawing(draw, ODD, kind="wide") and 'alt="&lt;b&gt;' in tag and 'class="wide"' in tag
    [content] = re.findall(r'src="data:image/svg\+xml;base64,([^"]+)">', tag)
    svg = base64.b64decode(content).decode()
    assert ">rate</text>" in svg and "dc:date" not in svg and len(svg) < 20_000


def test_thumbnail_is_a_small_image():
    pixels = np.tile(np.arange(0, 250, dtype=np.uint8), (250, 1))
    for size in (128, 300):
        [content] = re.findall(r'src="data:image/jpeg;base64,([^"]+)">', html.thumbnail(pixels, ODD, size))
        with Image.open(io.BytesIO(base64.b64decode(content))) as image:
            assert image.size == (min(size, 250),) * 2 and image.mode == "L"
            assert np.asarray(image).mean() == pytest.approx(pixels.mean(), abs=2)


def test_blocks_escape_their_text_and_close_their_tags():
    parts = [html.warning(ODD), html.bullets([ODD]), html.facts({ODD: ODD}), html.contents({ODD: ODD})]
    parts += [html.heading(ODD, 3, ODD), html.box("grid", [html.figure("", ODD)]), html.box("", [])]
    page = Texts("".join(parts))
    assert page.texts.count(ODD) == 7 and page.open == []
    assert html.bullets([]) == ""

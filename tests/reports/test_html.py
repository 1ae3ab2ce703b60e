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

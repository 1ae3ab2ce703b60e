import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from mamsf_keras.reports.evaluation_details import error_blocks, published_blocks, subgroup_blocks
from tests.reports.test_evaluation import evaluated
from tests.reports.test_published import official_summary

pytestmark = pytest.mark.no_keras


def test_thumbnails_equal_those_of_the_rows_in_order():
    example = {"row": 2, "image": "c.png", "probability": 0.91234, "labels": ["Mass", "Edema"]}
    other = example | {"row": 0, "image": "a<.png", "labels": []}
    errors = {"Hernia": {"false_positives": [example, other], "false_negatives": []}}
    page = "".join(error_blocks(errors, lambda row: np.full((300, 300), 50 * row, np.uint8)))
    images = [Image.open(io.BytesIO(base64.b64decode(data))) for data in re.findall('base64,([^"]+)', page)]
    assert [np.asarray(image).mean() for image in images] == pytest.approx([100, 0], abs=1)
    assert images[0].size == (128, 128)
    assert "0.912\nMass, Edema\nc.png" in page and "no finding\na&lt;.png" in page
    assert "Hernia: false negatives</h3><p>None.</p>" in page
    page = "".join(error_blocks(errors, None))
    assert "No images are shown" in page and "<img" not in page and "Hernia: false negatives</h3><p>None.</p>" in page
    assert "<li>0.912 · Mass, Edema · c.png</li><li>0.912 · no finding · a&lt;.png</li>" in page


def test_subgroups_have_counts_and_intervals():
    summary = evaluated()[0]
    page = "".join(subgroup_blocks(summary))
    group = summary["subgroups"]["sex"]["F"]
    assert f"<td>{group['images']}</td>" in page and f"<td>{group['patients']}</td>" in page
    row = group["findings"]["Mass"]
    low, high = row["auroc_interval"]
    assert f"{row['auroc']:.3f} ({low:.3f}–{high:.3f}), n={row['positives']}" in page
    assert "Sex, age and view position are not known." in "".join(subgroup_blocks({"subgroups": {}}))


def test_published_results_are_shown_on_the_official_test_split_only():
    page = "".join(published_blocks(official_summary()))
    assert "EVA-X" in page and "this evaluation" in page and "arxiv.org/abs/2206.04246" in page
    page = "".join(published_blocks(official_summary() | {"images": 522}))
    assert "EVA-X" not in page and "Here there are 522 images." in page

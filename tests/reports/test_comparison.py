import base64
import copy
import io
import re

import numpy as np
import pytest
from PIL import Image

from mamsf_keras.reports.comparison import (
    METRICS,
    comparison_frame,
    comparison_markdown,
    comparison_text,
    noise_frame,
    write_comparison_page,
)
from tests.reports.test_html import Texts

pytestmark = pytest.mark.no_keras

RECIPE = {"mean": 0.8, "seed_sd": 0.01, "patient_sd": 0.02, "values": [0.79, 0.8, 0.81]}
TESTED = {
    "A": RECIPE,
    "B": {**RECIPE, "mean": 0.75},
    "usable_resamples": 1.0,
    "difference": 0.05,
    "standard_error": 0.0125,
    "standard_error_seeds": 0.01,
    "standard_error_patients": 0.0075,
    "degrees_of_freedom": 19.53,
    "interval": [0.0239, 0.0761],
    "p_value": 0.0007,
    "p_value_holm": 0.0014,
    "result": "A is higher",
}
NOT_TESTED = {name: None for name in TESTED} | {
    "A": {**RECIPE, "seed_sd": None, "patient_sd": None},
    "B": RECIPE,
    "difference": -0.01,
    "result": "fewer than 10 positive or 10 negative patients",
}
UNDEFINED = NOT_TESTED | {"A": dict.fromkeys(RECIPE), "B": dict.fromkeys(RECIPE), "difference": None}
UNDEFINED["result"] = "undefined"


def row(values, **more):
    return {"positive_patients": 40, **more, **{metric: copy.deepcopy(values) for metric in METRICS}}


@pytest.fixture
def result():
    return {
        "split": "test",
        "protocol": "official",
        "images": 1200,
        "patients": 400,
        "recipes": {"A": {"runs": ["runs/<a>"], "seeds": [0, 1]}, "B": {"runs": ["runs/b"], "seeds": [3]}},
        "settings": {"loss": ["asl", "bce"]},
        "notes": ["A note."],
        "undefined": ["Edema"],
        "means": {
            "macro": row(TESTED, findings=2, too_few_patients=[]),
            "tail": row(NOT_TESTED, findings=1, too_few_patients=["Hernia"]),
        },
        "findings": {
            "Mass": row(TESTED, positives=1234),
            "Hernia": row(NOT_TESTED, positives=3),
            "Edema": row(UNDEFINED, positives=0),
        },
    }


def test_frames_hold_the_numbers_as_text(result):
    frame = comparison_frame(result, "auroc")
    assert list(frame.index) == ["Mass", "Hernia", "Edema", "mean (2 findings)", "mean, tail (1 findings)"]
    assert frame.loc["Mass"].tolist() == [
        "1,234 (40)",
        "0.8000 ± 0.0100",
        "0.7500 ± 0.0100",
        "+0.0500 (+0.0239 to +0.0761)",
        "<0.001",
        "0.001",
        "A is higher",
    ]
    untested = [
        "3 (40)",
        "0.8000",
        "0.8000 ± 0.0100",
        "-0.0100",
        "",
        "",
        "fewer than 10 positive or 10 negative patients",
    ]
    assert frame.loc["Hernia"].tolist() == untested
    assert frame.loc["Edema"].tolist() == ["0 (40)", "", "", "", "", "", "undefined"]
    noise = noise_frame(result, "auroc").loc["Mass"].tolist()
    assert noise == ["0.0100", "0.0100", "0.0200", "0.0200", "0.0100", "0.0075", "0.0125", "19.5"]


def test_columns_that_need_a_test_are_left_out_without_one(result):
    result["means"] = {"macro": row(NOT_TESTED | {"result": "not enough seeds"}, findings=1, too_few_patients=[])}
    result["findings"] = {"Hernia": row(NOT_TESTED | {"result": "not enough seeds"}, positives=3)}
    assert list(comparison_frame(result, "auroc")) == ["positives (patients)", "A", "B", "A − B (95% CI)", "result"]
    assert list(noise_frame(result, "auroc")) == ["seed SD, B", "patient SD, A", "patient SD, B"]
    text = comparison_text(result)
    assert "p (Holm)" not in text and "degrees of freedom" not in text and "-0.0100" in text


def test_text_and_markdown_describe_what_was_compared(result):
    for text in (comparison_text(result), comparison_markdown(result)):
        for words in (
            "official protocol, test split, 1,200 images of 400 patients",
            "Recipe A: runs/<a> (seeds 0, 1)",
            "The recipes differ in loss: asl (A), bce (B)",
            "Undefined and left out of the means: Edema",
            "No test of the mean, tail (1 findings), which includes findings with fewer than 10 positive or 10 "
            "negative patients: Hernia",
            "+0.0500 (+0.0239 to +0.0761)",
        ):
            assert words in text
    markdown = comparison_markdown(result)
    assert "A note." in markdown and "does not mean that they are equal" in markdown
    tables = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len(tables) == 4 * (2 + 5)
    assert {line.count("|") for line in tables} == {9, 10}


def test_constant_metrics_are_named(result):
    assert "No variation" not in comparison_text(result)
    result["findings"]["Mass"]["auroc"] |= {"standard_error": 0.0, "p_value": None, "interval": None}
    assert "No variation between seeds or patients in AUROC, and so no test: Mass" in comparison_text(result)


def test_page_is_self_contained_and_escaped(result, tmp_path):
    write_comparison_page(result, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    read = Texts(page)
    assert read.open == [] and not re.search(r'(src|href)="(?!data:)|<script|@import|url\(', page)
    assert "Recipe A: runs/<a> (seeds 0, 1)" in read.texts and "A note." in read.texts
    assert 'name="viewport"' in page and page.count("<table") == 4 and page.count("data:image/png") == 2
    assert "+0.0500 (+0.0239 to +0.0761)" in [text.replace("\N{NO-BREAK SPACE}", " ") for text in read.texts]
    write_comparison_page(result, tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text(encoding="utf-8") == page


def test_only_results_of_a_significant_test_are_in_color(result, tmp_path):
    def blue(changed):
        write_comparison_page(changed, tmp_path / "page.html")
        pngs = re.findall(r"data:image/png;base64,([^\"]+)", (tmp_path / "page.html").read_text(encoding="utf-8"))
        with Image.open(io.BytesIO(base64.b64decode(pngs[0]))) as image:
            pixels = np.asarray(image.convert("RGB")).astype(int)
        return int((pixels[..., 2] - pixels[..., 0] > 60).sum())

    assert blue(result) > 200
    for part in ("findings", "means"):
        for values in result[part].values():
            values["auroc"]["result"] = "not distinguishable"
    assert blue(result) == 0

import re

import numpy as np
import pytest

from mamsf_keras.config import FEWEST_PATIENTS
from mamsf_keras.evaluation.calibration import FEWEST_STABLE, fit_calibration
from mamsf_keras.evaluation.curves import DRAWS, all_curves
from mamsf_keras.evaluation.errors import worst_errors
from mamsf_keras.evaluation.summary import summarize_predictions
from mamsf_keras.reports.evaluation import write_evaluation_report
from tests.evaluation.test_predictions import predictions
from tests.reports.test_html import Texts

pytestmark = pytest.mark.no_keras

FINDINGS = ("Mass", "Hernia", "Edema")


def evaluated(calibrated=True, **more):
    """Summary, curves and worst errors of 240 images of 80 patients; Edema has no positives, Hernia 4."""
    rng = np.random.default_rng(0)
    labels = np.zeros((240, 3))
    labels[:, 0] = rng.random(240) < 0.3
    labels[[3, 90, 150, 220], 1] = 1
    scores = (rng.random((240, 3)) + 0.4 * labels) / 2
    patients = np.repeat(np.arange(80), 3).astype(str)
    rows = predictions(scores, labels, FINDINGS, patient=patients, sex=rng.choice(["F", "M"], 240))
    fitted = fit_calibration(labels, scores, FINDINGS, patients) if calibrated else None
    groups = dict(zip(FINDINGS, ("head", "tail", "tail"), strict=True))
    summary = summarize_predictions(rows, calibration=fitted, groups=groups, resamples=50)
    summary |= {"versions": {"numpy": "2"}, "notes": ["a <note>"], "calibrated": calibrated}
    summary |= {"protocol": "official", "split": "test", "patient_overlap": 0, **more}
    return summary, all_curves(rows, fitted), worst_errors(rows, summary)


def page_of(folder, *arguments):
    write_evaluation_report(folder / "r.html", *arguments)
    return (folder / "r.html").read_text(encoding="utf-8")


def test_report_is_one_file_with_every_section_and_the_same_every_time(tmp_path):
    read = np.random.default_rng(0).integers(0, 256, (240, 40, 40), dtype=np.uint8).__getitem__
    arguments = evaluated()
    page = page_of(tmp_path, *arguments, read)
    assert Texts(page).open == [] and page == page_of(tmp_path, *arguments, read)
    assert not re.search(r"(src|href)=.(?!data:|#)", page) and "<script" not in page
    anchors = re.findall(r'<h2 id="([^"]+)">', page)
    assert anchors == re.findall(r'href="#([^"]+)"', page) and len(anchors) == 11
    assert page.count("data:image/svg+xml") == 1 + 2 + 2 + 3  # forest plot, curves of two findings, calibration
    assert page.count("data:image/jpeg") == sum(len(rows) for kinds in arguments[2].values() for rows in kinds.values())
    assert '<p class="warning">Not a medical device.' in page and "a &lt;note&gt;" in page
    assert 'name="viewport"' in page and page.count("do not use it for diagnosis") == 1


def test_numbers_in_the_text_are_the_constants_of_the_evaluation(tmp_path):
    page = page_of(tmp_path, *evaluated())
    assert f"fewer than {FEWEST_PATIENTS} positive or {FEWEST_PATIENTS} negative patients: Hernia (4 positive)" in page
    assert "No interval for the mean of all, because" in page
    assert f"fewer than {FEWEST_STABLE} positive validation patients" in page and f"95% of {DRAWS} resamples" in page


def test_what_is_missing_is_named(tmp_path):
    page = page_of(tmp_path, *evaluated(calibrated=False))
    assert "No images are shown" in page and "data:image/jpeg" not in page
    assert "No operating points: no calibration was applied." in page
    assert "all or none of the images have the finding: Edema (0 of 240 positive)" in page
    assert "No finding is in the medium group." in page
    assert "Here there are" not in page and "Not shown. Published results" in page


def test_report_of_a_predictions_file_has_no_protocol(tmp_path):
    summary, curves, errors = evaluated()
    summary = {key: value for key, value in summary.items() if key not in ("protocol", "split", "patient_overlap")}
    page = page_of(tmp_path, summary, curves, errors)
    assert "<h1>Evaluation of a predictions file</h1>" in page and "not stated in a predictions file" in page
    assert "images of the whole NIH table" in page
    for group in ("head", "tail"):
        del summary["means"][group]
    page = page_of(tmp_path, summary, curves, errors)
    assert "Head findings" not in page and "No finding is in the head group" not in page

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest

from mamsf_keras.evaluation.predictions import Predictions
from mamsf_keras.inference.reading import InputImage
from mamsf_keras.inference.records import NOTICE, csv_writer, json_writer, make_records
from mamsf_keras.inference.source import Scores, Source
from tests.inference.test_source import Fixed

pytestmark = pytest.mark.no_keras

SOURCE = Source("runs/a", Fixed(probabilities=[0.25, 0.5]), 32)
PIXELS = np.zeros((32, 32), np.uint8)
IMAGES = [
    InputImage(Path("a.png"), PIXELS, height=20, width=30, warning="black"),
    InputImage(Path("bad.png"), error="bad.png cannot be read"),
    InputImage(Path("b.png"), PIXELS, height=20, width=30, note="bare"),
]
SCORES = Scores(
    np.array([[0.1, 1 / 3], [0.2, 1e-30]]), np.array([[0.5, np.nan], [0.6, np.nan]]), np.array([[1, np.nan], [0, 1]])
)


def records():
    return make_records(IMAGES, SOURCE, SCORES)


def test_records_follow_the_order_of_the_images():
    first, bad, second = records()
    assert bad == {"image": "bad.png", "error": "bad.png cannot be read"}
    assert first == {
        "image": "a.png",
        "width": 30,
        "height": 20,
        "warning": "black",
        "findings": {
            "Mass": {"probability": 0.1, "calibrated": 0.5, "positive": True},
            "Edema": {"probability": 0.333333333, "calibrated": None, "positive": None},
        },
    }
    assert second["note"] == "bare" and second["findings"]["Mass"] == {
        "probability": 0.2,
        "calibrated": 0.6,
        "positive": False,
    }


def test_source_without_calibration_has_only_probabilities():
    [record] = make_records(IMAGES[:1], SOURCE, Scores(SCORES.probabilities[:1], None, None))
    assert record["findings"]["Edema"] == {"probability": 0.333333333}


def test_json_is_strict_and_describes_itself(tmp_path):
    with json_writer(tmp_path / "p.json", SOURCE) as write:
        for record in records():
            write(record)
        assert not (tmp_path / "p.json").exists()  # until it is complete
    content = json.loads((tmp_path / "p.json").read_text(), parse_constant=pytest.fail)
    assert content["images"] == records()
    assert content["notice"] == NOTICE and "do not use it for diagnosis" in NOTICE
    assert (content["schema_version"], content["source"], content["operating_point"]) == (1, "runs/a", None)


def test_csv_has_a_row_per_readable_image_and_can_be_evaluated(tmp_path):
    with csv_writer(tmp_path / "p.csv", SOURCE) as write:
        for record in records():
            write(record)
    rows = list(csv.reader((tmp_path / "p.csv").read_text().splitlines()))
    names = ["Mass", "Edema", "Mass_calibrated", "Edema_calibrated", "Mass_positive", "Edema_positive"]
    assert rows == [
        ["image", *names],
        ["a.png", "0.1", "0.333333333", "0.5", "", "1", ""],
        ["b.png", "0.2", "1e-30", "0.6", "", "0", "1"],
    ]
    read = Predictions.read(tmp_path / "p.csv")
    assert read.findings == ("Mass", "Edema") and read.table["image"].tolist() == ["a.png", "b.png"]


def test_file_name_that_is_not_utf8_is_kept(tmp_path):
    path = Path(os.fsdecode(b"Th\xf6rax.png"))
    images = [InputImage(path, PIXELS, height=20, width=30), IMAGES[2]]
    with json_writer(tmp_path / "p.json", SOURCE) as to_json, csv_writer(tmp_path / "p.csv", SOURCE) as to_csv:
        for record in make_records(images, SOURCE, SCORES):
            to_json(record)
            to_csv(record)
    assert Predictions.read(tmp_path / "p.csv").table["image"].tolist() == [r"Th\udcf6rax.png", "b.png"]
    content = json.loads((tmp_path / "p.json").read_text(encoding="utf-8"))
    assert [image["image"] for image in content["images"]] == [str(path), "b.png"]


def test_empty_files_are_complete(tmp_path):
    with json_writer(tmp_path / "p.json", SOURCE), csv_writer(tmp_path / "p.csv", SOURCE):
        pass
    assert json.loads((tmp_path / "p.json").read_text())["images"] == []
    assert (tmp_path / "p.csv").read_text() == "image,Mass,Edema\n"


@pytest.mark.parametrize("writer", [json_writer, csv_writer])
@pytest.mark.parametrize("error", [KeyboardInterrupt, ConnectionError])
def test_interrupted_file_leaves_the_old_one_and_nothing_else(tmp_path, writer, error):
    (tmp_path / "p").write_text("old")
    with pytest.raises(error), writer(tmp_path / "p", SOURCE) as write:
        write(records()[0])
        raise error
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("p", "old")]

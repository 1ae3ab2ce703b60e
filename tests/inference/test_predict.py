import json
import os
import subprocess
import sys

import keras
import numpy as np
import pandas as pd
import pytest

from mamsf_keras import load_model
from mamsf_keras.images.gray import read_gray
from mamsf_keras.inference.predict import KEPT, predict
from tests.conftest import BACKEND
from tests.inference.test_inputs import bare_dicom
from tests.runs import gray_images, untrained_run

HIDE = """
import sys
from mamsf_keras.inference.predict import predict
summary = predict([sys.argv[1]], run_dir=sys.argv[2], heatmaps=sys.argv[3])
print(summary.predicted, "tensorflow" in sys.modules)
"""


@pytest.fixture
def run(tmp_path):
    return untrained_run(tmp_path / "run")


def test_results_equal_those_of_the_model_called_by_hand_in_order(tmp_path, run):
    paths = gray_images(tmp_path / "in", KEPT + 3)
    files = {"json_file": tmp_path / "p.json", "csv_file": tmp_path / "p.csv"}
    summary = predict([tmp_path / "in"], run_dir=run.path, batch_size=4, **files)
    order = sorted(map(str, paths))
    pixels = np.stack([read_gray(path, 32) for path in order])[..., None].astype("float32")
    expected = keras.ops.convert_to_numpy(load_model(run.model("best"))(pixels, training=False))
    table = pd.read_csv(tmp_path / "p.csv")
    assert table["image"].tolist() == order
    np.testing.assert_allclose(table[["Mass", "Edema"]], expected, atol=1e-6)
    images = json.loads((tmp_path / "p.json").read_text())["images"]
    assert [image["image"] for image in images] == order
    assert images[0]["findings"]["Mass"]["probability"] == table["Mass"][0]
    assert (summary.predicted, summary.failed, summary.operating_point) == (KEPT + 3, 0, "youden")
    assert summary.records == images[:KEPT]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "p.csv", "p.json", "run"]


def test_bad_files_are_reported_and_the_others_are_predicted(tmp_path, run, caplog):
    caplog.set_level("INFO")
    gray_images(tmp_path / "in", 3)
    bad = [tmp_path / "in" / "bad.png", tmp_path / "none.png"]
    bad[0].write_bytes(b"no image")
    (tmp_path / "in" / "notes.txt").write_text("text")
    summary = predict([tmp_path / "in", bad[1]], run_dir=run.path, json_file=tmp_path / "p.json", batch_size=1)
    assert (summary.predicted, summary.failed) == (3, 2)
    images = json.loads((tmp_path / "p.json").read_text())["images"]
    assert [image["image"] for image in images if "error" in image] == [str(path) for path in bad]
    assert all(f"{path} cannot be read as an image" in caplog.text for path in bad)
    assert "files that are not images, left out: 1 (first: " in caplog.text


def test_only_bad_files_leave_nothing_behind(tmp_path, run, caplog):
    (tmp_path / "bad.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match="None of the images could be read"):
        predict([tmp_path / "bad.png"], run_dir=run.path, csv_file=tmp_path / "p.csv", json_file=tmp_path / "p.json")
    assert "bad.png cannot be read as an image" in caplog.text
    assert not list(tmp_path.glob("*p.csv*")) and not list(tmp_path.glob("*p.json*"))


def test_dicom_without_preamble_in_a_folder_of_four_is_read(tmp_path, run, caplog):
    caplog.set_level("INFO")
    gray_images(tmp_path / "in", 3)
    bare_dicom(tmp_path / "in" / "IM0001")
    assert predict([tmp_path / "in"], run_dir=run.path).predicted == 4
    assert "1 DICOM files without preamble or transfer syntax" in caplog.text


def test_nearly_black_image_is_named(tmp_path, run, caplog):
    from PIL import Image

    path = tmp_path / "dark.png"
    Image.fromarray(np.ones((8, 8), np.uint8)).save(path)
    summary = predict([path], run_dir=run.path)
    assert f"{path}: its gray values are at most 1 of 255" in caplog.text and "warning" in summary.records[0]


def test_heatmaps_are_written_beside_the_results(tmp_path, run):
    paths = gray_images(tmp_path / "in", 3)
    summary = predict(paths, run_dir=run.path, heatmaps=tmp_path / "panels", findings=["Edema"], batch_size=2)
    assert sorted(path.name for path in (tmp_path / "panels").iterdir()) == ["0.png", "1.png", "2.png"]
    assert ["heatmap" in record["findings"]["Edema"] for record in summary.records] == [True] * 3


@pytest.mark.skipif(BACKEND == "tensorflow", reason="TensorFlow is the backend")
def test_tensorflow_is_not_imported(tmp_path, run):
    gray_images(tmp_path / "in", 1)
    script = tmp_path / "script.py"
    script.write_text("import tests.toys\n" + HIDE)
    command = [sys.executable, script, tmp_path / "in", run.path, tmp_path / "panels"]
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    result = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert result.stdout.splitlines()[-1] == "1 False"


def test_files_are_replaced_only_with_overwrite(tmp_path, run):
    paths = gray_images(tmp_path / "in", 1)
    (tmp_path / "old").mkdir()
    for name in ("p.json", "p.csv", "old/0.png"):
        (tmp_path / name).write_text("old")
    targets = {"json_file": tmp_path / "p.json", "csv_file": tmp_path / "p.csv", "heatmaps": tmp_path / "old"}
    for name, path in targets.items():
        with pytest.raises(FileExistsError, match=f"Choose another `{name}`, or use `overwrite`"):
            predict(paths, run_dir=run.path, **{name: path})
    predict(paths, run_dir=run.path, overwrite=True, **targets)
    assert all((tmp_path / name).read_bytes()[:3] != b"old" for name in ("p.json", "p.csv", "old/0.png"))
    with pytest.raises(FileExistsError, match="exists"):
        predict(paths, run_dir=run.path, json_file=tmp_path / "old", overwrite=True)


def test_invalid_options_fail_before_any_work(tmp_path, run):
    paths = gray_images(tmp_path / "in", 1)
    (tmp_path / "empty").mkdir()
    for options, error, words in (
        ({"json_file": tmp_path / "no" / "p.json"}, FileNotFoundError, "The folder of .* does not exist"),
        ({"heatmaps": paths[0]}, NotADirectoryError, "is a file. Set `heatmaps` to a folder"),
        ({"findings": ["Mass"]}, ValueError, "`findings` and `boxes` need `heatmaps`"),
        ({"heatmaps": tmp_path / "in"}, FileExistsError, "is not empty. Choose another `heatmaps`"),
        ({"heatmaps": tmp_path / "in", "overwrite": True}, ValueError, "`heatmaps` must be outside the folders"),
        ({"json_file": tmp_path / "x", "csv_file": tmp_path / "x"}, ValueError, "must be different"),
        ({"batch_size": 0}, ValueError, "`batch_size` must be at least 1. Received: batch_size=0"),
    ):
        with pytest.raises(error, match=words):
            predict(paths, run_dir=run.path, **options)
    with pytest.raises(ValueError, match="`heatmaps` must be outside the folders of the images"):
        predict(iter([tmp_path / "in"]), run_dir=run.path, heatmaps=tmp_path / "in" / "panels")
    assert sorted(path.name for path in tmp_path.rglob("*") if path.parent != run.path) == [
        "0.png",
        "empty",
        "in",
        "run",
    ]
    with pytest.raises(FileNotFoundError, match="There are no PNG, JPEG or DICOM files to predict"):
        predict([tmp_path / "empty"], run_dir=run.path)


def test_failing_model_leaves_no_files(tmp_path, run, monkeypatch):
    from mamsf_keras.predictors.keras_model import KerasPredictor

    gray_images(tmp_path / "in", 4)
    monkeypatch.setattr(KerasPredictor, "predict", lambda self, images: (_ for _ in ()).throw(ConnectionError("gone")))
    with pytest.raises(ConnectionError, match="^gone$"):
        predict(
            [tmp_path / "in"],
            run_dir=run.path,
            json_file=tmp_path / "p.json",
            csv_file=tmp_path / "p.csv",
            batch_size=2,
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "run"]

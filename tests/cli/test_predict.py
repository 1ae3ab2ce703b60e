import json
import os

import pytest

from tests.cli.checks import check_fails
from tests.predictors.test_server_rest import row, serving
from tests.runs import gray_images, invoke, succeeded, untrained_run


def test_table_files_and_disclaimer(tmp_path):
    run = untrained_run(tmp_path / "run")
    paths = gray_images(tmp_path / "in", 3)
    command = ["predict", tmp_path / "in", "--run-dir", run.path, "--csv", tmp_path / "p.csv"]
    text = succeeded(*command, "--json", tmp_path / "p.json", "--operating-point", "f1")
    assert all(str(path)[-40:] in text for path in paths) and "most probable (calibrated) | positive (f1)" in text
    assert "Not a medical device" in text and f"written: {tmp_path / 'p.json'}, {tmp_path / 'p.csv'}" in text
    assert json.loads((tmp_path / "p.json").read_text())["operating_point"] == "f1"
    check_fails(tmp_path, command, 1, "p.csv already exists. Choose another --csv, or use --overwrite.")
    assert "Mass   " in succeeded("predict", paths[0], "--run-dir", run.path, "--heatmaps", tmp_path / "panels")
    assert (tmp_path / "panels" / "0.png").exists()


def test_bad_file_is_named_the_rest_is_predicted_and_the_status_is_1(tmp_path):
    run = untrained_run(tmp_path / "run")
    gray_images(tmp_path / "in", 3)
    (tmp_path / "in" / "bad.png").write_bytes(b"no image")
    words = "1 of 4 inputs could not be read"
    result = check_fails(tmp_path, ["predict", tmp_path / "in", "--run-dir", run.path], 1, words)
    assert "bad.png cannot be read as an image" in result.stderr and result.stdout.count("Mass 0.") == 3


def test_file_name_that_is_not_utf8_is_predicted_and_evaluated(tmp_path, monkeypatch):
    run = untrained_run(tmp_path / "run")
    paths = gray_images(tmp_path / "in", 3)
    odd, bad = (tmp_path / "in" / os.fsdecode(name) for name in (b"Th\xf6rax.png", b"Th\xf6rax-bad.png"))
    try:
        paths[0].rename(odd)
    except OSError:
        pytest.skip("the file system allows only UTF-8 names")
    monkeypatch.chdir(tmp_path / "in")
    command = ["predict", ".", "--run-dir", run.path, "--csv", tmp_path / "p.csv"]
    text = succeeded(*command, "--json", tmp_path / "p.json", "--heatmaps", tmp_path / "panels")
    assert r"Th\udcf6rax.png" in text and (tmp_path / "panels" / odd.name).exists()
    images = [image["image"] for image in json.loads((tmp_path / "p.json").read_text())["images"]]
    assert images == ["1.png", "2.png", odd.name]
    names = [line.partition(",")[0] for line in (tmp_path / "p.csv").read_text("utf-8").splitlines()[1:]]
    labels = "".join(f"{name},{number},{number % 2},{number % 2}\n" for number, name in enumerate(names))
    (tmp_path / "l.csv").write_text(f"image,patient,Mass,Edema\n{labels}")
    evaluated = ["--predictions", tmp_path / "p.csv", "--labels", tmp_path / "l.csv", "--out", tmp_path / "o"]
    assert "3 images of 3 patients" in succeeded("evaluate", *evaluated)
    bad.write_bytes(b"no image")
    result = invoke(*command, "--overwrite")
    assert result.exit_code == 1 and r"Th\udcf6rax-bad.png cannot be read as an image" in result.stderr


def test_server_does_not_need_a_run(tmp_path):
    paths = gray_images(tmp_path / "in", 2, size=8)
    with serving() as (url, _):
        text = succeeded("predict", *paths, "--server", url, "--json", tmp_path / "p.json")
    assert "0.png" in text and "Edema" in text
    content = json.loads((tmp_path / "p.json").read_text())
    assert content["source"] == url and set(content["images"][0]["findings"]) == set(row([0])["findings"])
    assert content["images"][0]["findings"]["Edema"]["calibrated"] is None
    check_fails(tmp_path, ["predict", *paths, "--server", url], 1, f"{url} cannot be reached")


@pytest.mark.no_keras
def test_wrong_options(tmp_path):
    paths = gray_images(tmp_path / "in", 1)
    check_fails(tmp_path, ["predict"], 2, "IMAGE|FOLDER")
    check_fails(tmp_path, ["predict", *paths], 1, "Use exactly one of --run-dir, --model and --server.")
    outputs = ["--json", tmp_path / "x", "--csv", tmp_path / "x", "--run-dir", "none"]
    check_fails(tmp_path, ["predict", *paths, *outputs], 1, "--json and --csv must be different. Received: ")
    panels = ["--heatmaps", tmp_path / "in" / "panels", "--run-dir", "none"]
    check_fails(tmp_path, ["predict", tmp_path / "in", *panels], 1, "--heatmaps must be outside the folders of the")
    check_fails(tmp_path, ["predict", *paths, "--server", "host:8500"], 1, "--server must start with grpc://")
    check_fails(tmp_path, ["predict", *paths, "--run-dir", "none"], 1, "The run folder none does not exist")
    check_fails(tmp_path, ["predict", *paths, "--model", "m.tflite"], 1, "The model m.tflite does not exist")
    check_fails(tmp_path, ["predict", tmp_path / "run", "--server", "http://localhost:1"], 1, "cannot be reached")
    assert invoke("predict", *paths, "--run-dir", "r", "--operating-point", "x").exit_code == 2

import json
import shutil

import pandas as pd
import pytest

from mamsf_keras import DataConfig, RunDir, open_dataset, prepare
from tests.cli.checks import check_fails
from tests.runs import TOY, succeeded, toy_config


def test_run_folder_must_have_a_finished_epoch(small_nih, tmp_path):
    check_fails(tmp_path, ["evaluate", "--run-dir", tmp_path], 1, "is not a run folder")
    check_fails(tmp_path, ["evaluate", "--run-dir", tmp_path / "none"], 1, "does not exist", "--run-dir")
    run = RunDir(tmp_path / "run")
    run.path.mkdir()
    toy_config(small_nih).save(run.config_file)
    check_fails(tmp_path, ["evaluate", "--run-dir", run.path], 1, "no best.keras yet", "Resume the run")
    run.model("best").write_text("no model")
    check_fails(tmp_path, ["evaluate", "--run-dir", run.path], 1, "best.keras cannot be loaded as a .keras model")


@pytest.mark.tensorflow
def test_results_on_other_data_are_kept_and_data_must_have_the_findings(small_nih, tmp_path):
    names = [path.relative_to(small_nih) for path in sorted(small_nih.rglob("*.png"))]
    table = "".join(f"{name},{int(name.name[:8])},{i % 3 == 0:d}\n" for i, name in enumerate(names))
    (tmp_path / "labels.csv").write_text("path,subject_id,Fracture\n" + table)
    labels = ["--labels-csv", tmp_path / "labels.csv", "--protocol", "random-patient"]
    succeeded("train", "--data-dir", small_nih, *labels, *TOY, "--epochs", 1, "--run-dir", tmp_path / "run")
    prepare(open_dataset(small_nih), tmp_path / "cache", image_size=32, workers=1)
    evaluate = ["evaluate", "--run-dir", tmp_path / "run", "--data-dir"]
    check_fails(tmp_path, [*evaluate, tmp_path / "cache"], 1, "has no labels for Fracture")
    data = DataConfig(small_nih, labels_csv=tmp_path / "labels.csv", protocol="random-patient")
    prepare(open_dataset(data), tmp_path / "labeled", image_size=32, workers=1)
    (tmp_path / "labels.csv").unlink()
    check_fails(tmp_path, [*evaluate, small_nih], 1, "labels.csv of the run no longer exists. Prepare a cache")
    assert "16 images of 8 patients" in succeeded(*evaluate, tmp_path / "labeled")
    shutil.move(tmp_path / "labeled", tmp_path / "moved")
    check_fails(tmp_path, [*evaluate, tmp_path / "moved"], 1, "contains the results for", "use --overwrite")
    succeeded(*evaluate, tmp_path / "moved", "--overwrite")
    assert len(pd.read_csv(tmp_path / "run" / "predictions-test.csv")) == 16
    (tmp_path / "run" / "metrics-test.json").write_text("{")
    check_fails(tmp_path, [*evaluate, tmp_path / "moved"], 1, "metrics-test.json is damaged. Remove it")


def test_predictions_file_is_evaluated_without_keras(tmp_path):
    (tmp_path / "p.csv").write_text("image,Mass\n" + "".join(f"{i},{i % 10 / 10}\n" for i in range(40)))
    (tmp_path / "l.csv").write_text("image,patient,Mass\n" + "".join(f"{i},{i},{i % 10 > 6:d}\n" for i in range(50)))
    command = ["evaluate", "--predictions", tmp_path / "p.csv", "--labels", tmp_path / "l.csv", "--out", tmp_path / "o"]
    check_fails(tmp_path, [*command, "--prevalence", "Mass=0.01"], 1, "--prevalence needs a calibration")
    text = succeeded(*command)
    assert "40 images of 40 patients" in text and "left out: 10 (first: 40," in text and "Mass" in text
    assert json.loads((tmp_path / "o" / "metrics.json").read_text())["findings"]["Mass"]["auroc"] == 1
    check_fails(tmp_path, command, 1, "metrics.json already exists. Choose another --out, or use --overwrite.")


def test_columns_of_a_label_table_are_named_by_the_options_of_train(tmp_path):
    (tmp_path / "p.csv").write_text("image,Mass\na.png,0.2\nb.png,0.8\nc.png,0.9\n")
    (tmp_path / "l.csv").write_text("file,who,Mass,Edema\na.png,1,0,1\nb.png,2,1,0\nc.png,2,,1\n")
    words = ["evaluate", "--predictions", tmp_path / "p.csv", "--labels", tmp_path / "l.csv", "--out", tmp_path / "o"]
    words += ["--image-column", "file", "--patient-column", "who", "--label-columns", "Mass"]
    assert "3 images of 2 patients" in succeeded(*words, "--blank", "negative")
    metrics = json.loads((tmp_path / "o" / "metrics.json").read_text())
    assert metrics["blank"] == "negative" and metrics["findings"]["Mass"]["images"] == 3
    assert metrics["findings"]["Mass"]["auroc"] == 0.5


def test_options_of_runs_and_files_exclude_each_other(tmp_path):
    check_fails(tmp_path, ["evaluate"], 2, "Use either --run-dir or --predictions.")
    check_fails(tmp_path, ["evaluate", "--predictions", "p.csv"], 2, "--predictions needs --out")
    check_fails(
        tmp_path, ["evaluate", "--run-dir", "r", "--labels", "l.csv"], 2, "--labels can only be used with --pre"
    )
    command = ["evaluate", "--predictions", "p.csv", "--out", "o"]
    check_fails(tmp_path, [*command, "--split", "test"], 2, "--split can only be used with --run-dir.")
    check_fails(tmp_path, [*command, "--prevalence", "Mass=1.5"], 2, "a prevalence must be in (0, 1). Received: 1.5.")
    for value in ("0.1,0.2", "Mass=0.1,Mass=0.2"):
        check_fails(tmp_path, [*command, "--prevalence", value], 2, "more than one value for")
    for option, value in (("--blank", "negative"), ("--uncertain", "mask")):
        check_fails(tmp_path, [*command, option, value], 2, f"{option} can only be used with --labels.")
    check_fails(tmp_path, command, 1, "The table p.csv does not exist")

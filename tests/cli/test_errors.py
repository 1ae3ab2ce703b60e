"""Bad input through the command line: one `Error:` line, the right exit code, no traceback, nothing left behind."""

import os
import re
import subprocess
import sys

import pytest
from click.testing import CliRunner
from mamsf_keras.cli import main

from mamsf_keras.config import DataConfig
from mamsf_keras.data.folder import read_split
from mamsf_keras.data.prepare import prepare
from mamsf_keras.data.stream import Stream, subset
from tests.conftest import BACKEND, rewrite_table

TRAIN = ["train", "--weights", "none", "--backbone", "efficientnetv2-b0", "--image-size", "32", "--batch-size", "8"]


def check_fails(tmp_path, arguments, code, *words):
    before = sorted(path for path in tmp_path.rglob("*"))
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error:")]
    assert result.exit_code == code, result.output
    assert len(errors) == 1 and "Traceback" not in result.output, result.output
    for word in words:
        assert str(word) in errors[0]
    assert sorted(path for path in tmp_path.rglob("*")) == before
    return result


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--decay", "1.5", ["neither auto nor a number from 0 to 1"]),
        ("--decay", "fast", ["fast"]),
        ("--batch-size", "0", ["x>=1"]),
        ("--image-size", "-3", ["x>=32"]),
        ("--epochs", "0", ["x>=1"]),
        ("--backbone", "resnet50", ["efficientnetv2-b0", "efficientnetv2-s"]),
        ("--augment", "wild", ["none", "light", "strong"]),
        ("--learning-rate", "0", ["x>0"]),
        ("--learning-rate", "nan", ["finite"]),
        ("--backend", "theano", ["tensorflow", "jax", "torch"]),
        ("--preset", "none", ["demo", "paper", "server"]),
        ("--loss", "hinge", ["bce", "focal", "ldam"]),
        ("--final-loss", "focal", ["final_epochs"]),
        ("--precision", "float8", ["mixed_float16"]),
        ("--accumulate", "0", ["x>=1"]),
        ("--warmup", "1", ["0<=x<1"]),
    ],
)
def test_bad_option_values_exit_2(tmp_path, option, value, words):
    check_fails(tmp_path, ["train", "--data-dir", tmp_path, option, value], 2, *words)


def test_missing_folder_and_tables(tmp_path):
    run = tmp_path / "run"
    check_fails(tmp_path, [*TRAIN, "--data-dir", tmp_path / "none", "--run-dir", run], 1, "none does not exist")
    weights = ["--weights", tmp_path / "none.h5", "--run-dir", tmp_path / "new" / "run"]
    check_fails(tmp_path, [*TRAIN, "--data-dir", tmp_path / "none", *weights], 1, "none does not exist")
    check_fails(tmp_path, [*TRAIN, "--data-dir", tmp_path, "--run-dir", run], 1, "has no table Data_Entry_2017.csv")
    check_fails(tmp_path, ["describe", "--data-dir", tmp_path], 1, "--labels-csv")
    check_fails(tmp_path, ["evaluate", "--run-dir", tmp_path], 1, "is no run folder")
    for command in ("evaluate", "export") if BACKEND == "tensorflow" else ("evaluate",):
        check_fails(tmp_path, [command, "--run-dir", tmp_path / "none"], 1, "no run folder", "--run-dir")
    check_fails(tmp_path, ["train", "--run-dir", tmp_path / "none", "--resume"], 1, "no run folder", "--run-dir")
    check_fails(tmp_path, ["train", "--config", tmp_path / "none.json"], 1, "none.json is no file", "config.json")


def test_files_that_an_option_names(small_nih, tmp_path):
    describe = ["describe", "--data-dir", small_nih]
    check_fails(tmp_path, [*describe, "--protocol", "file:none.csv"], 1, "none.csv is no file")
    check_fails(tmp_path, [*describe, "--labels-csv", "none.csv"], 1, "none.csv is no file")


def test_misspelt_command(tmp_path):
    check_fails(tmp_path, ["trian"], 2, "trian", "train")


def test_what_cannot_work_is_said_before_the_long_work(small_nih, tmp_path):
    weights = [*TRAIN, "--data-dir", small_nih, "--weights", tmp_path / "none.h5"]
    cache = [*TRAIN, "--data-dir", tmp_path / "cache", "--image-size", "64", "--run-dir", tmp_path / "run"]
    prepare(DataConfig(small_nih), tmp_path / "cache", image_size=32, workers=1)
    for arguments, words in (
        ([*weights, "--run-dir", tmp_path / "run"], ["none.h5 does not exist"]),
        (cache, [f"{tmp_path / 'cache'} has images of 32 pixels, not 64"]),
    ):
        assert not check_fails(tmp_path, arguments, 1, *words).stdout


def test_absent_image_unknown_finding_and_way_out_of_the_folder(small_nih, tmp_path):
    train = [*TRAIN, "--data-dir", small_nih, "--run-dir", tmp_path / "run"]
    next(small_nih.rglob("00000005_000.png")).unlink()
    check_fails(tmp_path, train, 1, "1 of 80 images", "00000005_000.png", "--allow-missing")
    rewrite_table(small_nih, lambda rows: [*rows[:2], [rows[2][0], "Scurvy", *rows[2][2:]], *rows[3:]])
    check_fails(tmp_path, train, 1, "unknown findings on 1 rows", "Scurvy")
    rewrite_table(small_nih, lambda rows: [*rows[:2], ["../../x", *rows[2][1:]], *rows[3:]])
    check_fails(tmp_path, train, 1, "leave the data folder", "../../x")


def test_existing_run_folder_is_left_alone(small_nih, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "mine.txt").write_text("mine")
    check_fails(tmp_path, [*TRAIN, "--data-dir", small_nih, "--run-dir", run], 1, "exists", "--run-dir")
    assert (run / "mine.txt").read_text() == "mine"


def test_truncated_image_is_named_and_no_run_is_left(small_nih, tmp_path, toy_training):
    path = next(small_nih.rglob("00000009_001.png"))
    path.write_bytes(path.read_bytes()[:50])
    train = [*TRAIN, "--data-dir", small_nih, "--run-dir", tmp_path / "run"]
    check_fails(tmp_path, train, 1, path, "cannot be read as an image")


def test_loss_that_is_not_finite_names_its_images(small_nih, tmp_path, toy_training):
    run = tmp_path / "run"
    train = [*TRAIN, "--data-dir", small_nih, "--run-dir", run, "--learning-rate", "1e30", "--epochs", "9"]
    result = CliRunner().invoke(main, [str(argument) for argument in train])
    error = next(line for line in result.stderr.splitlines() if line.startswith("Error:"))
    assert result.exit_code == 1
    assert "learning rate" in error and "use a lower --learning-rate" in error and str(run / "bad-batch.csv") in error
    epoch, step = (int(number) for number in re.search(r"epoch (\d+), step (\d+)", error).groups())
    studies = read_split(DataConfig(small_nih))
    rows = subset(studies.table, "train")
    stream = Stream(rows, studies.findings, 32, 8)
    names = rows["image"][stream.rows((epoch - 1) * stream.batches + step - 1)].tolist()
    assert (run / "bad-batch.csv").read_text().split() == ["image", *names]


def test_outputs_that_the_last_step_made_infinite(small_nih, tmp_path, toy_training):
    """Its loss was seen before: said as a loss is."""
    run = tmp_path / "run"
    train = [*TRAIN, "--data-dir", small_nih, "--run-dir", run, "--learning-rate", "1e30", "--epochs", "1"]
    result = CliRunner().invoke(main, [str(argument) for argument in [*train, "--batch-size", "40"]])
    assert result.exit_code == 1
    assert "outputs became infinite or NaN at epoch 1, step 1, learning rate" in result.stderr
    assert len(set((run / "bad-batch.csv").read_text().split())) == 41


def test_error_that_nobody_foresaw(small_nih, tmp_path, monkeypatch):
    def out_of_memory(*arguments, **options):
        raise MemoryError("no 40 GiB\nleft")

    monkeypatch.setattr("mamsf_keras.training.build.efficientnetv2", out_of_memory)
    train = [*TRAIN, "--data-dir", small_nih, "--run-dir", tmp_path / "run"]
    check_fails(tmp_path, train, 1, "MemoryError: no 40 GiB left", "--traceback")


def test_validation_without_any_finding(small_nih, tmp_path, toy_training):
    rewrite_table(small_nih, lambda rows: [rows[0], *[[row[0], "No Finding", *row[2:]] for row in rows[1:]]])
    train = [*TRAIN, "--data-dir", small_nih, "--run-dir", tmp_path / "run"]
    check_fails(tmp_path, train, 1, "no AUROC to choose the best model by")


def test_weights_that_do_not_fit(small_nih, tmp_path):
    (tmp_path / "x.weights.h5").write_text("no weights")
    train = [*TRAIN, "--weights", tmp_path / "x.weights.h5", "--data-dir", small_nih, "--run-dir", tmp_path / "run"]
    check_fails(tmp_path, train, 1, "x.weights.h5 does not fit efficientnetv2-b0")


def test_model_file_that_is_none(small_nih, tmp_path):
    from mamsf_keras import TrainConfig

    run = tmp_path / "run"
    run.mkdir()
    TrainConfig(data_dir=str(small_nih)).save(run / "config.json")
    check_fails(tmp_path, ["evaluate", "--run-dir", run], 1, "no best.keras yet", "--resume")
    (run / "best.keras").write_text("no model")
    check_fails(tmp_path, ["evaluate", "--run-dir", run], 1, "best.keras cannot be loaded as a .keras model")


def test_another_backend_than_the_loaded_one_is_an_error(tmp_path):
    import keras

    other = {"tensorflow": "jax", "jax": "tensorflow", "torch": "tensorflow"}[keras.backend.backend()]
    check_fails(tmp_path, ["evaluate", "--run-dir", tmp_path, "--backend", other], 1, "needs a new process")


def test_keras_backend_of_the_environment_is_honoured(tmp_path):
    code = "import sys; from mamsf_keras.cli import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, "evaluate", "--run-dir", str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "KERAS_BACKEND": "theano"})
    assert result.returncode == 2 and "must be one of tensorflow, jax, torch. Received: theano" in result.stderr
    assert BACKEND in ("tensorflow", "jax", "torch")


def test_empty_names_of_label_columns(tmp_path):
    describe = ["describe", "--data-dir", tmp_path, "--labels-csv", "t.csv", "--label-columns"]
    check_fails(tmp_path, [*describe, ","], 2, "names nothing")
    check_fails(tmp_path, [*describe, "Edema,"], 1, "t.csv is no file")  # a comma too many is none


def test_evaluation_on_data_without_a_finding(small_nih, tmp_path, toy_training):
    names = [path.relative_to(small_nih) for path in sorted(small_nih.rglob("*.png"))]
    table = "".join(f"{name},{int(name.name[:8])},{i % 3 == 0:d}\n" for i, name in enumerate(names))
    (tmp_path / "labels.csv").write_text("path,subject_id,Fracture\n" + table)
    labels = ["--labels-csv", tmp_path / "labels.csv", "--protocol", "random-patient", "--run-dir", tmp_path / "run"]
    words = [*TRAIN, "--data-dir", small_nih, *labels, "--epochs", "1"]
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    prepare(DataConfig(small_nih), tmp_path / "cache", image_size=32, workers=1)
    evaluate = ["evaluate", "--run-dir", tmp_path / "run", "--data-dir"]
    check_fails(tmp_path, [*evaluate, tmp_path / "cache"], 1, "has no labels of Fracture")
    (tmp_path / "labels.csv").unlink()
    check_fails(tmp_path, [*evaluate, small_nih], 1, "labels.csv of the run is gone: prepare a cache")
    (tmp_path / "run" / "metrics-test.json").write_text("{")
    check_fails(tmp_path, [*evaluate, tmp_path / "cache"], 1, "metrics-test.json is damaged: remove it")

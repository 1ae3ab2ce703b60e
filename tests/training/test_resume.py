"""Runs that are killed or stopped, and gone on with, through the command line."""

import json
import os
import random
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from mamsf_keras.cli import main

from mamsf_keras import TrainConfig, load_model
from mamsf_keras.training import build
from mamsf_keras.training import train as training
from tests.conftest import BACKEND, simple_rows, toy_efficientnetv2, write_nih
from tests.training.runs import Killed, arguments, invoke, same_files, stopped_after, succeeded


@pytest.mark.parametrize("epoch", [0, 3])
def test_stopped_by_an_error_and_resumed(undisturbed, tmp_path, toy_training, epoch):
    """At the end of the frozen phase, and in the middle of the next."""
    run = tmp_path / "run"
    with stopped_after(epoch, KeyboardInterrupt if epoch else Killed):
        result = invoke(*arguments(undisturbed / "nih", run))
    assert result.exit_code == 1
    assert (f"to go on: mamsf-keras train --run-dir {run} --resume" in result.output) == (epoch > 0)
    assert not (run / "last.keras").exists()
    text = succeeded("train", "--run-dir", run, "--resume")
    assert f"going on after epoch {epoch + 1} of 6" in text
    same_files(undisturbed / "run", run)
    if epoch == 3:
        text = succeeded("train", "--run-dir", run, "--resume")  # nothing is left to do
        assert " 0.0 images/s" in text
        same_files(undisturbed / "run", run)


def test_short_epochs_train_as_long_ones(small_nih, tmp_path, toy_training):
    """18 epochs of 2 steps are 6 of 6: the stream goes on where it was."""
    one, two = tmp_path / "long", tmp_path / "short"
    options = "--image-size 32 --batch-size 8 --weights none --decay 0.9".split()
    for run, epochs in ((one, ("--epochs", 6)), (two, ("--epochs", 18, "--steps-per-epoch", 2))):
        succeeded("train", "--data-dir", small_nih, "--run-dir", run, *options, *epochs)
    assert [len(pd.read_csv(run / "history.csv")) for run in (one, two)] == [6, 18]
    weights = (load_model(run / "last.keras").get_weights() for run in (one, two))
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6 if BACKEND == "torch" else 0)


def scores(monkeypatch, values):
    """Gives the epochs these validation scores."""

    def on_epoch_end(self, epoch, logs=None):
        logs["val_auroc"] = values[epoch]

    monkeypatch.setattr(training.ValidationAUROC, "on_epoch_end", on_epoch_end)


def test_early_stopping_ends_where_an_undisturbed_run_does(small_nih, tmp_path, toy_training, monkeypatch):
    """Stopped in the middle of its patience, and resumed again when it has ended."""
    scores(monkeypatch, [0.1, 0.6, 0.8, 0.7, 0.7, 0.7, 0.9, 0.9, 0.9])
    more = ("--epochs", 9, "--patience", 3)
    one, two = tmp_path / "one", tmp_path / "two"
    succeeded(*arguments(small_nih, one, *more))
    assert len(pd.read_csv(one / "history.csv")) == 6
    with stopped_after(3):
        invoke(*arguments(small_nih, two, *more))
    for _ in range(2):
        text = succeeded("train", "--run-dir", two, "--resume")
        assert "at epoch 3 of 6" in text
        same_files(one, two)


def test_patience_begins_with_a_phase(small_nih, tmp_path, toy_training, monkeypatch):
    """A frozen phase without progress ends no run, and its epochs do not count in the next."""
    scores(monkeypatch, [0.5, 0.4, 0.4, 0.4, 0.3, 0.3, 0.3, 0.3])
    succeeded(*arguments(small_nih, tmp_path / "run", "--epochs", 8, "--freeze-epochs", 3, "--patience", 2))
    assert len(pd.read_csv(tmp_path / "run" / "history.csv")) == 5


def test_a_table_of_ones_own_is_gone_and_its_cache_stays(tmp_path, toy_training):
    """The run goes on with the labels of the cache, which are those it began with."""
    folder = write_nih(tmp_path / "images", simple_rows())
    rows = pd.DataFrame(simple_rows(), columns=["Path", "labels", "Patient ID"])
    rows["Path"] = "images_001/images/" + rows["Path"]
    for name in ("Effusion", "Mass"):
        rows[name] = rows["labels"].str.contains(name).astype(int)
    table = tmp_path / "table.csv"
    rows.drop(columns="labels").to_csv(table, index=False)
    data = ("--data-dir", folder, "--labels-csv", table, "--blank", "negative")
    cache, run = tmp_path / "cache", tmp_path / "run"
    succeeded("prepare", *data, "--cache-dir", cache, "--image-size", 32)
    options = "--protocol random-patient --image-size 32 --batch-size 8 --weights none --epochs 1 --no-cache".split()
    succeeded("train", *data, "--run-dir", run, *options)
    table.unlink()
    text = succeeded("train", "--run-dir", run, "--resume", "--epochs", 2, "--data-dir", cache)
    assert "going on after epoch 1 of 2" in text
    succeeded("evaluate", "--run-dir", run)


def test_steps_that_executions_do_not_divide(small_nih, tmp_path, toy_training):
    """6 steps are a pass, 4 are executed at once: an epoch has 4, and a resumed run goes on where it was."""
    if BACKEND == "torch":
        pytest.skip("PyTorch runs one step at a time")
    options = "--image-size 32 --batch-size 8 --weights none --epochs 3 --decay 0.9".split()
    one, two, short = tmp_path / "one", tmp_path / "two", tmp_path / "short"
    data = ("train", "--data-dir", small_nih)
    succeeded(*data, "--run-dir", one, *options, "--steps-per-execution", 4)
    with stopped_after(0):
        invoke(*data, "--run-dir", two, *options, "--steps-per-execution", 4)
    succeeded("train", "--run-dir", two, "--resume")
    same_files(one, two)
    succeeded(*data, "--run-dir", short, *options, "--steps-per-epoch", 4)
    weights = (load_model(run / "last.keras").get_weights() for run in (one, short))
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    result = invoke(*data, "--run-dir", tmp_path / "three", *options, "--steps-per-execution", 7)
    assert result.exit_code == 1 and "An epoch has 6 steps" in result.stderr
    result = invoke(*data, "--run-dir", tmp_path / "three", "--steps-per-epoch", 6, "--steps-per-execution", 4)
    assert result.exit_code == 2 and "multiple of `steps_per_execution` (4)" in result.stderr


def test_what_keeps_the_bits_from_being_equal_is_said(small_nih, tmp_path, toy_training):
    """Another version, and draws that cannot be repeated."""
    run = tmp_path / "run"
    options = "--image-size 32 --batch-size 8 --weights none --epochs 1".split()
    augment = "strong" if BACKEND == "tensorflow" else "light"
    succeeded("train", "--data-dir", small_nih, "--run-dir", run, *options, "--augment", augment)
    surroundings = json.loads((run / "environment.json").read_text())
    numpy = surroundings["packages"]["numpy"]
    surroundings["packages"]["numpy"] = "1.0"
    (run / "environment.json").write_text(json.dumps(surroundings))
    text = succeeded("train", "--run-dir", run, "--resume", "--epochs", 2)
    assert f"may end otherwise than an undisturbed one: numpy was 1.0, now {numpy}\n" in text
    assert "goes on along the cosine of 2 epochs; so far it was 1" in text
    assert ("draws of --augment strong cannot be repeated" in text) == (augment == "strong")


@pytest.mark.parametrize("work", [pytest.param("read_run_data", marks=pytest.mark.slow), "run_phases"])
def test_killed_before_its_first_epoch(undisturbed, tmp_path, toy_training, monkeypatch, work):
    """It resumes as a new run."""

    def fail(*arguments):
        raise Killed

    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(training, work, fail)
        patch.setattr(training, "_remove", lambda *arguments: None)
        with pytest.raises(Killed):
            training.train(TrainConfig.load(undisturbed / "run" / "config.json"), run)
    assert (run / "config.json").exists() and not list(run.glob("*.keras"))
    result = invoke("evaluate", "--run-dir", run)
    assert result.exit_code == 1 and "has no best.keras yet" in result.stderr and "--resume" in result.stderr
    succeeded("train", "--run-dir", run, "--resume")
    same_files(undisturbed / "run", run)
    assert (run / "environment.json").exists()


def test_ctrl_c_keeps_the_run_and_says_how_to_go_on(small_nih, tmp_path, toy_training, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "run_phases", interrupt)
        result = invoke(*arguments(small_nih, tmp_path / "my run"))
    assert result.exit_code == 1
    words = shlex.split(result.stdout.partition("to go on: mamsf-keras ")[2])
    succeeded(*words)
    assert (tmp_path / "my run" / "best.keras").exists()


def test_config_file_repeats_a_run(undisturbed, tmp_path, toy_training):
    config = undisturbed / "run" / "config.json"
    succeeded("train", "--config", config, "--run-dir", tmp_path / "two")
    same_files(undisturbed / "run", tmp_path / "two")
    more = ("--seed", 1, "--epochs", 2, "--freeze-epochs", 0, "--final-epochs", 1)
    succeeded("train", "--config", config, "--run-dir", tmp_path / "three", *more)
    assert json.loads((tmp_path / "three" / "config.json").read_text())["seed"] == 1
    result = invoke("train", "--config", tmp_path / "none.json", "--run-dir", tmp_path / "four")
    assert result.exit_code == 1 and "none.json is no file" in result.stderr


@pytest.mark.slow
def test_killed_at_eight_random_moments_and_resumed(small_nih, tmp_path):
    """SIGKILL, light augmentation and drop-path on: everything that is left equals an undisturbed run's, which ended by
    its patience."""

    def run_process(run, *more):
        command = [sys.executable, "-m", "tests.training.test_resume", *arguments(small_nih, run, *more)]
        return subprocess.Popen(
            [str(word) for word in command],
            cwd=Path(__file__).parents[2],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    undisturbed, run = tmp_path / "undisturbed", tmp_path / "run"
    options = ("--epochs", 60, "--patience", 32, "--deterministic")
    process = run_process(undisturbed, *options)
    output = process.communicate()[0]
    assert process.returncode == 0, output
    random.seed(0)
    for kill in range(8):
        before = len(read_history(run))
        more = ["--resume"] if kill else []
        process = run_process(run, *options, *more)
        until = before + random.randint(1, 3)
        while len(read_history(run)) < until and process.poll() is None:
            time.sleep(0.02)
        time.sleep(random.uniform(0, 0.3))
        assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate()
    process = run_process(run, *options, "--resume")
    output = process.communicate()[0]
    assert process.returncode == 0, output
    same_files(undisturbed, run)
    epochs = pd.read_csv(run / "history.csv")["epoch"].tolist()
    assert epochs == list(range(len(epochs))) and len(epochs) < 60


def read_history(run):
    path = run / "history.csv"
    return pd.read_csv(path) if path.exists() else []


if __name__ == "__main__":
    build.efficientnetv2 = toy_efficientnetv2
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    main(sys.argv[1:])

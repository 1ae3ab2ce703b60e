"""Runs that are stopped or killed and resumed, against uninterrupted ones. Run as a module, it is the command line."""

import dataclasses
import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mamsf_keras import (
    LabelsCsv,
    PhaseConfig,
    RunDir,
    TrainConfig,
    load_model,
    open_dataset,
    prepare,
    register_backbone,
    train,
)
from mamsf_keras.cli import main
from mamsf_keras.training.history import History
from mamsf_keras.training.resume import MAY_DIFFER, check_end, check_environment, resumed_config
from tests.conftest import BACKEND
from tests.runs import TOY, Killed, StopAfter, check_same_files, invoke, succeeded, toy_config
from tests.toys import contents, simple_rows, toy_backbone, write_nih

ROOT = Path(__file__).parents[2]


def check_same_weights(one, two, rtol=0.0, atol=1e-6 if BACKEND == "torch" else 0.0):
    """Checks that the last models of two runs are equal; on PyTorch to 1e-6."""
    for a, b in zip(*(load_model(run / "last.keras").get_weights() for run in (one, two)), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


def epochs_of(run) -> list[int]:
    return pd.read_csv(run / "history.csv")["epoch"].tolist()


def test_run_stopped_three_times_equals_an_uninterrupted_run(uninterrupted, tmp_path, caplog):
    """Stopped before the first epoch, after the frozen phase and in the next phase; then resumed when complete."""
    caplog.set_level("INFO", "mamsf_keras")
    config, folder = uninterrupted.config, tmp_path / "run"
    with RunDir.create(folder, config) as run:
        pass  # a run killed here leaves only this folder
    with pytest.raises(Killed):
        train(config, folder, resume=True, callbacks=[StopAfter(0)])
    assert "resuming" not in caplog.text and run.environment.exists() and not run.model("last").exists()
    with pytest.raises(KeyboardInterrupt):
        train(config, folder, resume=True, callbacks=[StopAfter(2, KeyboardInterrupt)])
    assert "resuming after epoch 1 of 6" in caplog.text and epochs_of(folder) == [1, 2, 3]
    train(config, folder, resume=True)
    assert "resuming after epoch 3 of 6" in caplog.text
    check_same_files(uninterrupted.path, folder)
    text = succeeded("train", "--run-dir", folder, "--resume")
    assert "all 6 epochs are finished" in text and " 0.0 images/s" in text
    check_same_files(uninterrupted.path, folder)


def test_short_epochs_equal_long_epochs(shared_nih, tmp_path):
    """6 epochs of 2 steps equal 2 epochs of 6 steps: the stream continues across epochs."""
    options = {"decay": 0.9, "fusion": False}
    train(toy_config(shared_nih, **options), tmp_path / "long")
    train(toy_config(shared_nih, epochs=6, steps_per_epoch=2, **options), tmp_path / "short")
    assert (len(epochs_of(tmp_path / "long")), len(epochs_of(tmp_path / "short"))) == (2, 6)
    check_same_weights(tmp_path / "long", tmp_path / "short")


def test_early_stopping_ends_where_an_uninterrupted_run_does(shared_nih, tmp_path):
    """Stopped in the middle of its patience, and resumed again when it has ended."""
    config = toy_config(shared_nih, epochs=30, patience=3, fusion=False)
    one, two = tmp_path / "one", tmp_path / "two"
    summary = train(config, one)
    scores = pd.read_csv(one / "history.csv")["val_auroc"]
    assert len(scores) - 1 - scores.idxmax() == 3 and len(scores) < 30
    with pytest.raises(Killed):
        train(config, two, callbacks=[StopAfter(len(scores) - 3)])
    for _ in range(2):
        again = train(config, two, resume=True)
        assert {name: again[name] for name in ("best_epoch", "validation_auroc", "epochs")} == {
            "best_epoch": scores.idxmax() + 1,
            "validation_auroc": summary["validation_auroc"],
            "epochs": len(scores),
        }
        check_same_files(one, two)


@pytest.mark.skipif(BACKEND == "torch", reason="PyTorch runs one step at a time")
def test_steps_that_executions_do_not_divide(shared_nih, tmp_path):
    """6 steps are a pass, 4 are executed at once: an epoch has 4, and a resumed run continues where it was."""
    options = {"decay": 0.9, "fusion": False}
    several = toy_config(shared_nih, steps_per_execution=4, **options)
    one, two, short = tmp_path / "one", tmp_path / "two", tmp_path / "short"
    train(several, one)
    with pytest.raises(Killed):
        train(several, two, callbacks=[StopAfter(0)])
    train(several, two, resume=True)
    check_same_files(one, two)
    train(toy_config(shared_nih, steps_per_epoch=4, **options), short)
    check_same_weights(one, short, rtol=1e-4, atol=1e-5)  # a bias before batch norm moves by rounding alone


@pytest.mark.tensorflow
def test_run_on_a_table_is_resumed_on_its_cache_when_the_table_is_gone(tmp_path):
    """The cache has the labels that the run was started with."""
    rows = pd.DataFrame(simple_rows(), columns=["Path", "labels", "Patient ID"])
    rows["Path"] = "images_001/images/" + rows["Path"]
    for name in ("Effusion", "Mass"):
        rows[name] = rows["labels"].str.contains(name).astype(int)
    table, run = tmp_path / "table.csv", tmp_path / "run"
    rows.drop(columns="labels").to_csv(table, index=False)
    images = write_nih(tmp_path / "images", simple_rows())
    options = {"labels_csv": LabelsCsv(table, blank="negative"), "protocol": "random-patient", "fusion": False}
    config = toy_config(images, epochs=1, cache="none", **options)
    prepare(open_dataset(config), tmp_path / "cache", image_size=32, workers=1)
    train(config, run)
    table.unlink()
    text = succeeded("train", "--run-dir", run, "--resume", "--epochs", 2, "--data-dir", tmp_path / "cache")
    assert "resuming after epoch 1 of 2" in text and epochs_of(run) == [1, 2]
    succeeded("evaluate", "--run-dir", run)


@pytest.mark.tensorflow
def test_differences_of_a_resumed_run_are_logged(shared_nih, tmp_path, caplog):
    """Another version, another end, and augmentation that is not reproducible."""
    caplog.set_level("INFO", "mamsf_keras")
    run = RunDir(tmp_path / "run")
    config = toy_config(shared_nih, epochs=1, augment="strong", fusion=False)
    train(config, run.path)
    environment = json.loads(run.environment.read_text())
    numpy = environment["packages"]["numpy"]
    environment["packages"]["numpy"] = "1.0"
    run.environment.write_text(json.dumps(environment))
    assert "note:" not in caplog.text
    train(dataclasses.replace(config, epochs=2), run.path, resume=True)
    notes = [line.partition("note: ")[2] for line in caplog.text.splitlines() if "note: " in line]
    assert notes == [
        "the learning-rate schedule of this phase now spans 2 epochs (was 1)",
        "`augment` strong is not reproducible: results differ from an uninterrupted run",
        f"results may differ from an uninterrupted run: numpy was 1.0, now {numpy}",
    ]
    assert run.config.epochs == 2


@pytest.mark.tensorflow
def test_ctrl_c_keeps_the_run_and_prints_how_to_resume_it(shared_nih, tmp_path):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    file = tmp_path / "config.json"
    toy_config(shared_nih, epochs=1, fusion=False).save(file)
    register_backbone("toy", interrupt)
    try:
        result = invoke("train", "--config", file, "--run-dir", tmp_path / "my run")
    finally:
        register_backbone("toy", lambda name, cut, weights, image_size: toy_backbone(image_size))
    assert result.exit_code == 1 and not list(tmp_path.rglob("*.keras"))
    succeeded(*shlex.split(result.stdout.partition("stopped; to resume, run: mamsf-keras ")[2]))
    assert (tmp_path / "my run" / "best.keras").exists()


@pytest.mark.tensorflow
def test_run_is_unchanged_after_a_refused_resume(small_nih, finished):
    """Fewer epochs than are finished, a phase that moves over them, another option, other data, no checkpoint."""
    config, before = finished.config, contents(finished.path)

    def check_refused(message, **options):
        with pytest.raises(ValueError, match=message):
            train(dataclasses.replace(config, **options), finished.path, resume=True)
        assert contents(finished.path) == before

    first, main, last = config.phases

    def phases(*some):
        return {"phases": some, "epochs": None}

    check_refused("`epochs` must be at least the .* epochs, 6", **phases(first, main, PhaseConfig(1, "focal", 1e-4)))
    longer = dataclasses.replace(main, epochs=4)
    check_refused("epoch 5 was trained in the phase that starts with epoch 5", **phases(first, longer, last))
    check_refused("another configuration: batch_size was 8, now 4; seed was 0, now 3", batch_size=4, seed=3)
    table = small_nih / "Data_Entry_2017.csv"
    table.write_text(table.read_text().replace("No Finding", "Mass", 1))
    check_refused("cannot be resumed on other data", data_dir=str(small_nih))
    for path in finished.checkpoint_files():
        path.write_bytes(b"")
    before = contents(finished.path)
    check_refused("are damaged. Start a new run")
    shutil.rmtree(finished.checkpoints)
    before = contents(finished.path)
    check_refused("finished epochs but no checkpoint to resume from")


@pytest.mark.tensorflow
# `epochs` and `freeze_epochs` exclude the phases that the finished run has.
@pytest.mark.parametrize(
    "name", sorted({field.name for field in dataclasses.fields(TrainConfig)} - {"epochs", "freeze_epochs"})
)
def test_only_paths_devices_and_the_end_may_differ(finished, name):
    others = {
        "labels_csv": "other.csv",
        "cache": "other",
        "protocol": "random-patient",
        "backbone": "efficientnetv2-b0",
        "augment": "none",
        "cut": "head",
        "decay": 0.5,
        "decay_schedule": "power",
        "loss": "asl",
        "phases": [{"epochs": 6}],
        "precision": "mixed_float16",
        "jit": "on",
        "distribute": "mirrored",
        "mlflow": "file:x",
        "weights": "other.h5",
        "data_dir": "other",
        "steps_per_epoch": 3,
    }
    old = getattr(finished.config, name)
    new = others.get(name, not old if isinstance(old, bool) else (old or 1) * 2 if isinstance(old, int) else 0.5)
    config = dataclasses.replace(finished.config, **{name: new})
    assert getattr(config, name) != old
    if name in MAY_DIFFER:
        assert getattr(resumed_config(finished, config), name) == getattr(config, name)
    else:
        with pytest.raises(ValueError, match=f"another configuration: {name} was .*Start a new run"):
            resumed_config(finished, config)


@pytest.mark.no_keras
def test_a_run_may_end_later_or_at_its_last_epoch(caplog):
    caplog.set_level("INFO", "mamsf_keras")
    old, history = toy_config("data", epochs=6, freeze_epochs=1), History([{"epoch": n} for n in range(4)])
    check_end(old, old, history)
    check_end(old, dataclasses.replace(old, epochs=9), History())
    assert not caplog.text
    for epochs in (4, 9):
        check_end(old, dataclasses.replace(old, epochs=epochs), history)
        assert f"schedule of this phase now spans {epochs - 1} epochs (was 5)" in caplog.text
    with pytest.raises(ValueError, match="at least the number of finished epochs, 4. Received: epochs=3"):
        check_end(old, dataclasses.replace(old, epochs=3), history)


@pytest.mark.no_keras
def test_finished_epochs_may_not_change_their_phase():
    """LDAM's last fifth is a phase, epochs 9 and 10 of 10. With 12 epochs, epoch 9 would move into the one before."""
    old = toy_config("data", epochs=10, loss="ldam")
    longer = dataclasses.replace(old, epochs=12)
    check_end(old, longer, History([{"epoch": n + 1} for n in range(8)]))
    words = r"epoch 9 was trained in the phase that starts with epoch 9 \(ldam\).* would then .* epoch 1 \(ldam\)"
    with pytest.raises(ValueError, match=words):
        check_end(old, longer, History([{"epoch": n + 1} for n in range(9)]))


@pytest.mark.no_keras
def test_environment_is_compared(tmp_path, caplog):
    caplog.set_level("INFO", "mamsf_keras")
    run = RunDir(tmp_path)
    data = {"images": 80, "sha256": "abc"}
    versions = {"keras": "3", "numpy": "2"}
    then = {"git": "1", "packages": versions, "backend": "jax", "devices": ["cpu:0"], "data": data}
    run.environment.write_text(json.dumps(then))
    check_environment(run, then)
    assert not caplog.text
    check_environment(run, {**then, "git": "2", "packages": {"keras": "3", "torch": "2.6"}})
    assert caplog.messages == [
        "note: results may differ from an uninterrupted run: git was 1, now 2; numpy was 2, now None; "
        "torch was None, now 2.6"
    ]
    with pytest.raises(
        ValueError, match="another backend: it was started on jax, but Keras now runs on torch. Use `backend` jax"
    ):
        check_environment(run, {**then, "backend": "torch"})
    with pytest.raises(ValueError, match="other data: it was started with 80 images, and now there are 79"):
        check_environment(run, {**then, "data": {**data, "images": 79}})
    with pytest.raises(ValueError, match="labels, patients or splits changed"):
        check_environment(run, {**then, "data": {**data, "sha256": "abd"}})


@pytest.mark.tensorflow
def test_another_backend_is_refused_with_the_option_to_use(finished):
    environment = json.loads(finished.environment.read_text())
    finished.environment.write_text(json.dumps({**environment, "backend": "jax"}))
    result = invoke("train", "--run-dir", finished.path, "--resume")
    assert result.exit_code == 1 and "it was started on jax" in result.stderr and "--backend jax" in result.stderr


@pytest.mark.slow
def test_run_killed_at_random_moments_is_resumed(small_nih, tmp_path):
    """SIGKILL, with light augmentation and drop path: equal to an uninterrupted run, which its patience has ended."""

    def run_process(run, *more):
        words = ("train", "--data-dir", small_nih, "--run-dir", run, *TOY, *more)
        command = [sys.executable, "-m", "tests.training.test_resume", *words]
        return subprocess.Popen(
            [str(word) for word in command], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    uninterrupted, run = tmp_path / "uninterrupted", tmp_path / "run"
    options = ("--epochs", 60, "--freeze-epochs", 1, "--patience", 32, "--deterministic")
    process = run_process(uninterrupted, *options)
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
    check_same_files(uninterrupted, run)
    epochs = epochs_of(run)
    assert epochs == list(range(1, len(epochs) + 1)) and len(epochs) < 60


def read_history(run):
    path = run / "history.csv"
    return pd.read_csv(path) if path.exists() else []


if __name__ == "__main__":
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    main(sys.argv[1:])

"""Runs that cannot go on: what is said, and that all stays as it is."""

import json
import shutil

import filelock

from tests.training.runs import arguments, invoke, succeeded


def test_another_end_that_the_done_epochs_do_not_lead_to(undisturbed, tmp_path, toy_training):
    """Fewer epochs than are done, or a border of phases that moves over them; what is there stays as it is."""
    run = tmp_path / "run"
    shutil.copytree(undisturbed / "run", run)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    shorter, moved = "6 epochs are done: the run cannot end after 5", "epoch 6 was trained in the phase"
    for epochs, words in ((5, shorter), (7, moved)):
        result = invoke("train", "--run-dir", run, "--resume", "--epochs", epochs)
        assert result.exit_code == 1 and words in result.stderr
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_all_checkpoints_are_damaged(undisturbed, tmp_path, toy_training):
    run = tmp_path / "run"
    shutil.copytree(undisturbed / "run", run)
    for path in (run / "checkpoints").iterdir():
        path.write_bytes(b"")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    result = invoke("train", "--run-dir", run, "--resume")
    assert result.exit_code == 1 and "are damaged: begin a new run" in result.stderr
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    shutil.rmtree(run / "checkpoints")
    result = invoke("train", "--run-dir", run, "--resume")
    assert result.exit_code == 1 and "no checkpoint to go on from" in result.stderr
    assert (run / "best.keras").read_bytes() == before[run / "best.keras"]


def test_another_configuration_or_other_data_are_refused(small_nih, tmp_path, toy_training):
    run = tmp_path / "run"
    succeeded(*arguments(small_nih, run, "--epochs", 2, "--freeze-epochs", 0, "--final-epochs", 1))
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    result = invoke("train", "--run-dir", run, "--resume", "--batch-size", 4, "--seed", 3)
    assert result.exit_code == 1
    assert "another configuration: batch_size was 8, now 4; seed was 0, now 3" in result.stderr
    table = small_nih / "Data_Entry_2017.csv"
    table.write_text(table.read_text().replace("No Finding", "Mass", 1))
    result = invoke("train", "--run-dir", run, "--resume", "--cache-dir", tmp_path / "other")
    assert result.exit_code == 1 and "cannot go on with other data" in result.stderr
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    result = invoke("train", "--run-dir", tmp_path / "none", "--resume")
    assert result.exit_code == 1 and "no run folder" in result.stderr
    result = invoke("train", "--resume")
    assert result.exit_code == 2 and "--resume needs --run-dir" in result.stderr


def test_another_backend_is_refused(small_nih, tmp_path, toy_training):
    run = tmp_path / "run"
    succeeded(*arguments(small_nih, run, "--epochs", 2, "--freeze-epochs", 0, "--final-epochs", 1))
    surroundings = json.loads((run / "environment.json").read_text())
    (run / "environment.json").write_text(json.dumps({**surroundings, "backend": "theano"}))
    result = invoke("train", "--run-dir", run, "--resume")
    assert result.exit_code == 1 and "it began on theano" in result.stderr and "--backend theano" in result.stderr


def test_cache_in_the_run_folder_is_refused(small_nih, tmp_path):
    result = invoke(*arguments(small_nih, tmp_path / "run", "--cache-dir", tmp_path / "run" / "cache"))
    assert result.exit_code == 1 and "outside of the run folder" in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_second_process_says_so(small_nih, tmp_path, toy_training):
    run = tmp_path / "run"
    succeeded(*arguments(small_nih, run, "--epochs", 2, "--freeze-epochs", 0, "--final-epochs", 1))
    with filelock.FileLock(run / ".lock"):
        result = invoke("train", "--run-dir", run, "--resume", "--epochs", 3)
    assert result.exit_code == 1 and f"Another process is working on {run}" in result.stderr
    result = invoke(*arguments(small_nih, run))
    assert result.exit_code == 1 and "exists" in result.stderr and "--resume" in result.stderr

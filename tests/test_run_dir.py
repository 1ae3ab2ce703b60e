import ast
import re
from pathlib import Path

import filelock
import pytest

from mamsf_keras import RunDir, TrainConfig

pytestmark = pytest.mark.no_keras

CONFIG = TrainConfig("data", seed=3)


def test_names_of_all_files(tmp_path):
    run = RunDir(tmp_path)
    paths = [run.config_file, run.environment, run.history, run.history_plot, run.checkpoints, run.bad_batch]
    paths += [run.tensorboard, run.mlflow_id, run.model("best"), run.model("last")]
    paths += [run.predictions("test"), run.metrics("validation"), run.checkpoint(12)]
    assert [str(path.relative_to(tmp_path)) for path in paths] == [
        *("config.json", "environment.json", "history.csv", "history.png", "checkpoints", "bad-batch.csv"),
        *("tensorboard", "mlflow-run.txt", "best.keras", "last.keras"),
        *("predictions-test.csv", "metrics-validation.json", "checkpoints/epoch-0012.npz"),
    ]


def test_create_writes_the_configuration_and_holds_the_lock(tmp_path):
    with RunDir.create(tmp_path / "runs" / "one", CONFIG) as run:
        assert RunDir.open(run.path).config == CONFIG
        with pytest.raises(BlockingIOError, match="Another process is working on"), RunDir.open(run.path).lock():
            pass
    with RunDir.open(run.path).lock(), pytest.raises(filelock.Timeout):
        filelock.FileLock(run.path / ".lock").acquire(timeout=0)


def test_create_refuses_a_folder_that_exists(tmp_path):
    with pytest.raises(FileExistsError, match="exists. Choose another `run_dir`.$"), RunDir.create(tmp_path, CONFIG):
        pass
    with RunDir.create(tmp_path / "run", CONFIG):
        pass
    with pytest.raises(FileExistsError, match="or resume the run with `resume`"):
        RunDir.free(tmp_path / "run")


def test_failed_run_is_removed_with_the_folders_made_for_it(tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(RuntimeError), RunDir.create(tmp_path / "there" / "a" / "b", CONFIG):
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["there"] and not list((tmp_path / "there").iterdir())


@pytest.mark.parametrize("kept", ["checkpoint", "bad batch", "interrupt"])
def test_failed_run_with_something_to_inspect_is_kept(tmp_path, kept):
    error = KeyboardInterrupt if kept == "interrupt" else RuntimeError
    with pytest.raises(error), RunDir.create(tmp_path / "run", CONFIG) as run:
        if kept == "checkpoint":
            run.checkpoints.mkdir()
            run.checkpoint(1).touch()
        if kept == "bad batch":
            run.bad_batch.touch()
        raise error
    assert run.config_file.exists()


def test_open_names_what_is_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="none does not exist. Set `run_dir` to a folder written by `train`"):
        RunDir.open(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="is not a run folder: it has no config.json"):
        RunDir.open(tmp_path)


def test_missing_best_model_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="has no best.keras yet. Resume the run until an epoch is finished"):
        RunDir(tmp_path).best_model()


def test_damaged_files_are_named_with_a_fix_that_works(tmp_path):
    run = RunDir(tmp_path)
    assert run.read_metrics("test") == {}
    run.metrics("test").write_text("{")
    run.environment.write_text("[]")
    with pytest.raises(ValueError, match="metrics-test.json is damaged. Remove it, and run `evaluate` again"):
        run.read_metrics("test")
    with pytest.raises(ValueError, match="environment.json is damaged. Restore it, or start a new run"):
        run.read_environment()


def test_checkpoints_are_ordered_by_number(tmp_path):
    run = RunDir(tmp_path)
    run.checkpoints.mkdir()
    for epochs in (9998, 9999, 10000, 10001):
        run.checkpoint(epochs).touch()
    assert [path.stem for path in run.checkpoint_files()] == [f"epoch-{n}" for n in (10001, 10000, 9999, 9998)]


def test_no_other_module_spells_the_name_of_a_file():
    """Sentences (docstrings, messages) may name files; the code that finds them must not.

    `initial_weights.py` reads the config.json inside a `.keras` file.
    """
    root = Path(__file__).parents[1]
    names = r"config\.json|environment\.json|history\.(csv|png)|(best|last)\.keras|bad-batch\.csv|mlflow-run\.txt|"
    names += r"epoch-|predictions-|metrics-"
    found = [
        f"{path.relative_to(root)}: {node.value}"
        for path in [*(root / "mamsf_keras").rglob("*.py"), *(root / "cli").rglob("*.py")]
        if path.name not in ("run_dir.py", "initial_weights.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and re.search(names, str(node.value)) and " " not in node.value
    ]
    assert found == []

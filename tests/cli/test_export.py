import pytest

from mamsf_keras import RunDir
from tests.cli.checks import check_fails
from tests.runs import toy_config

pytestmark = pytest.mark.tensorflow


def test_errors_before_anything_is_written(small_nih, tmp_path):
    check_fails(tmp_path, ["export", "--run-dir", tmp_path / "none"], 1, "does not exist", "--run-dir")
    run = RunDir(tmp_path / "run")
    run.path.mkdir()
    toy_config(small_nih).save(run.config_file)
    out = ["--out", tmp_path / "models"]
    check_fails(tmp_path, ["export", "--run-dir", run.path, *out], 1, "no best.keras yet")
    check_fails(tmp_path, ["export", "--run-dir", run.path, "--out", run.config_file], 1, "is a file", "--out")
    check_fails(tmp_path, ["export", "--run-dir", run.path, "--format", "onyx"], 2, "saved-model", "tflite")

import json
import os
import subprocess
import sys

import keras
import pytest

from tests.cli.checks import check_fails
from tests.runs import TOY, succeeded


def test_switching_the_loaded_backend_is_an_error(tmp_path):
    other = {"tensorflow": "jax", "jax": "tensorflow", "torch": "tensorflow"}[keras.backend.backend()]
    check_fails(tmp_path, ["evaluate", "--run-dir", tmp_path, "--backend", other], 1, "needs a new process")


def evaluate(folder, backend, *words):
    code = "import sys; from mamsf_keras.config import BACKBONES; BACKBONES.append('toy'); "
    code += "from mamsf_keras.cli import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, "evaluate", "--run-dir", str(folder), *words]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "KERAS_BACKEND": backend})


@pytest.mark.no_keras
def test_unknown_backend_in_the_environment_is_a_usage_error(tmp_path):
    result = evaluate(tmp_path, "theano")
    assert result.returncode == 2 and "must be one of tensorflow, jax, torch. Received: theano" in result.stderr


@pytest.mark.tensorflow
def test_option_overrides_the_environment(tmp_path):
    """The command fails because the run is missing, not because of the unknown backend in the environment."""
    result = evaluate(tmp_path, "theano", "--backend", "jax")
    assert result.returncode == 1 and "is not a run folder" in result.stderr


@pytest.mark.tensorflow
def test_keras_json_has_no_effect(small_nih, tmp_path, monkeypatch):
    """Despite a foreign keras.json, a command uses TensorFlow, reports it, and has the same result as without it."""
    settings = {"backend": "torch", "floatx": "float16", "image_data_format": "channels_first", "epsilon": 1e-7}
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    succeeded("train", "--data-dir", small_nih, "--run-dir", tmp_path / "run", *TOY, "--epochs", 1)
    expected = succeeded("evaluate", "--run-dir", tmp_path / "run")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    result = evaluate(tmp_path / "run", "")
    assert result.returncode == 0
    # Only the first evaluation predicts the validation split and fits the calibration.
    lines, first = result.stdout.splitlines(), expected.splitlines()
    assert lines[-8:] == first[-8:] and set(lines) < set(first)
    assert "loading Keras on tensorflow" in result.stderr


@pytest.mark.tensorflow
def test_quiet_export_ignores_keras_json(tmp_path):
    """Without KERAS_BACKEND. The command fails because the run is missing, after it has loaded Keras."""
    settings = {"backend": "torch", "floatx": "float16", "image_data_format": "channels_first", "epsilon": 1e-7}
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    code = """
import sys
from mamsf_keras.cli import main
try:
    main(["export", "--run-dir", sys.argv[1], "--quiet"])
finally:
    import keras
    print(keras.backend.backend(), keras.config.floatx(), keras.config.image_data_format())
"""
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    command = [sys.executable, "-c", code, str(tmp_path / "run")]
    environment["KERAS_HOME"] = str(tmp_path)
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert result.stdout == "tensorflow float32 channels_last\n" and "does not exist" in result.stderr


@pytest.mark.no_keras
@pytest.mark.parametrize("fails", [False, True])
def test_startup_messages_are_hidden_and_errors_are_shown(fails):
    """What C++ writes to standard error, as TensorFlow 2.21 does on a machine without a GPU."""
    code = f"""
import os
from mamsf_keras.cli.backend import filtered_stderr
with filtered_stderr():
    os.write(2, b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\\n")
    os.write(2, b"I0000 00:00:17 1 port.cc:153] oneDNN custom operations are on.\\n")
    os.write(2, b"E0000 00:00:17 1 cuda_platform.cc:52] failed call to cuInit: UNKNOWN ERROR (303)\\n")
    os.write(2, b"E0000 00:00:17 1 cuda_dnn.cc:579] cuDNN is too old\\n")
    {"raise SystemExit('no Keras')" if fails else ""}
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    expected = ["E0000 00:00:17 1 cuda_dnn.cc:579] cuDNN is too old", *(["no Keras"] if fails else [])]
    assert result.stderr.splitlines() == expected and result.returncode == fails


@pytest.mark.tensorflow
def test_quiet_evaluation_prints_only_the_result(small_nih, tmp_path):
    """Runs in a separate process, because TensorFlow prints its messages at startup."""
    succeeded("train", "--data-dir", small_nih, "--run-dir", tmp_path / "run", *TOY, "--epochs", 1)
    result = evaluate(tmp_path / "run", "tensorflow", "--quiet")
    assert result.returncode == 0 and result.stdout.startswith("official protocol, test split: 24 images")
    assert result.stderr == ""

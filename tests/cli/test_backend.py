import os
import subprocess
import sys

import keras
import pytest

from tests.cli.checks import check_fails


def test_another_backend_than_the_loaded_one_is_an_error(tmp_path):
    other = {"tensorflow": "jax", "jax": "tensorflow", "torch": "tensorflow"}[keras.backend.backend()]
    check_fails(tmp_path, ["evaluate", "--run-dir", tmp_path, "--backend", other], 1, "needs a new process")


def evaluate(folder, backend, *words):
    code = "import sys; from mamsf_keras.cli import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, "evaluate", "--run-dir", str(folder), *words]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "KERAS_BACKEND": backend})


@pytest.mark.no_keras
def test_unknown_backend_in_the_environment_is_a_usage_error(tmp_path):
    result = evaluate(tmp_path, "theano")
    assert result.returncode == 2 and "must be one of tensorflow, jax, torch. Received: theano" in result.stderr


@pytest.mark.tensorflow
def test_option_overrides_the_environment(tmp_path):
    """The backend is in the error that a missing run gives; an unknown one of the environment is not looked at."""
    result = evaluate(tmp_path, "theano", "--backend", "jax")
    assert result.returncode == 1 and "is not a run folder" in result.stderr

"""The shadow against NumPy for every way to run a step; `benchmarks/exactness.py` prints the same as a table."""

import os
import re
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from benchmarks.exactness import recorded_model, shadow_error, train, ways
from tests.conftest import BACKEND

FAST = {
    "tensorflow": [(False, "float32", 8, 4), (True, "mixed_bfloat16", 1, 1), (False, "mixed_float16", 8, 1)],
    "jax": [(True, "mixed_float16", 8, 4), (True, "mixed_bfloat16", 1, 1)],
    "torch": [(False, "mixed_bfloat16", 1, 1), (False, "mixed_float16", 1, 4)],
}[BACKEND]
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("jit", "precision", "steps_per_execution", "accumulation"), FAST)
def test_error_is_at_float32_precision(jit, precision, steps_per_execution, accumulation):
    assert 0 < shadow_error(jit, precision, steps_per_execution, accumulation) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("way", [way for way in ways(BACKEND) if way not in FAST], ids=str)
def test_error_is_at_float32_precision_in_all_combinations(way):
    assert 0 < shadow_error(*way) < 1e-6


@pytest.mark.skipif(BACKEND != "torch", reason="the other backends run several steps in one execution")
def test_keras_refuses_several_steps_in_one_execution_on_pytorch():
    with pytest.raises(ValueError, match="steps_per_execution"):
        train(recorded_model(False, "float32", 8, 1))


@pytest.mark.skipif(BACKEND == "torch", reason="neither MirroredStrategy nor keras.distribution runs on PyTorch here")
def test_both_devices_hold_the_same_shadow():
    environment = {**os.environ, "KERAS_BACKEND": keras.backend.backend()}
    command = [sys.executable, "-m", "benchmarks.exactness", "--devices", "2"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    error, difference = re.search(r"error (\S+), largest difference between the devices (\S+)", done.stdout).groups()
    assert 0 < float(error) < 1e-6 and float(difference) == 0

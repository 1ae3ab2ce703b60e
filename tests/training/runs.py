"""Runs through the command line, with options of a small one, stopped or not."""

import contextlib

import numpy as np
import pytest
from click.testing import CliRunner
from mamsf_keras.cli import main

from mamsf_keras import load_model
from mamsf_keras.training.callbacks import RunFiles
from tests.conftest import BACKEND

OPTIONS = "--image-size 32 --batch-size 8 --weights none --epochs 6 --freeze-epochs 1 --final-loss focal"
OPTIONS += " --final-epochs 2"


def arguments(data, run, *more):
    return ["train", "--data-dir", str(data), "--run-dir", str(run), *OPTIONS.split(), *more]


def invoke(*words):
    return CliRunner().invoke(main, [str(word) for word in words])


def succeeded(*words):
    result = invoke(*words)
    assert result.exit_code == 0, result.output
    return result.output


def same_files(one, two):
    """The weights of both models, shadow included, and the history, bit for bit; on PyTorch the weights to 1e-6."""
    for name in ("history.csv", "history.png"):
        assert (one / name).read_bytes() == (two / name).read_bytes()
    for name in ("best.keras", "last.keras"):
        for a, b in zip(load_model(one / name).get_weights(), load_model(two / name).get_weights(), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-6 if BACKEND == "torch" else 0)


class Killed(Exception):
    """What stops a run in these tests."""


@contextlib.contextmanager
def stopped_after(epoch, error=Killed):
    """Raises an error in each run at the end of an epoch, counted from 0, when its files are written."""
    write = RunFiles.on_epoch_end

    def fail(self, number, logs=None):
        write(self, number, logs)
        if number == epoch:
            raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RunFiles, "on_epoch_end", fail)
        yield

import contextlib
import fcntl
import logging
import os
import pty
import struct
import subprocess
import sys
import termios

import pytest

from mamsf_keras.training.callbacks.progress_bar import ProgressBar

pytestmark = pytest.mark.tensorflow  # no model: once


@pytest.fixture(autouse=True)
def log(caplog):
    caplog.set_level(logging.INFO, "mamsf_keras")
    return caplog


def started_bar(steps):
    bar = ProgressBar(batch_size=8)
    bar.set_params({"epochs": 3, "steps": steps})
    bar.on_epoch_begin(1)
    return bar


def run(bar, steps, logs):
    for step in steps:
        bar.on_train_batch_end(step, {"loss": 0.5})
    bar.on_epoch_end(1, logs)


def test_line_of_an_epoch_has_the_scores_and_the_rate_and_counts_from_one(log):
    run(started_bar(3), range(3), {"loss": 0.5, "val_auroc": 0.75, "val_auroc Mass": 0.25, "skipped_steps": 3})
    [line] = log.messages
    assert line.startswith("epoch 2/3: loss 0.5, val_auroc 0.75, skipped_steps 3, ") and line.endswith(" images/s")


@pytest.mark.parametrize(("seconds", "text"), [(0.01, "1,600"), (1, "16.0")])
def test_rate_has_sensible_digits(log, monkeypatch, seconds, text):
    times = iter((0, seconds / 2, seconds))
    monkeypatch.setattr("mamsf_keras.training.callbacks.progress_bar.time.perf_counter", lambda: next(times))
    run(started_bar(3), range(3), {"loss": 0.5})
    assert log.messages == [f"epoch 2/3: loss 0.5, {text} images/s"]


def test_rate_leaves_out_the_first_step(log):
    """The first step builds the graph, so a single step has no rate."""
    run(started_bar(1), [0], {"loss": 0.5})
    assert log.messages == ["epoch 2/3: loss 0.5"]


def test_step_behind_the_bar_is_ignored():
    """Keras calls an async-safe callback from several threads, in any order."""
    bar = started_bar(9)
    shown = []
    for step in (0, 3, 2, 1, 6, 5):
        bar.on_train_batch_end(step, {"loss": 0.5})
        shown.append(bar.shown)
    assert shown == [0, 3, 3, 3, 6, 6] and bar.bar.total == 72


def test_bar_on_a_terminal_counts_the_images_and_is_removed_at_the_end():
    """In a process whose standard error is one: tqdm shows nothing elsewhere."""
    code = """
from tests.training.callbacks.test_progress_bar import run, started_bar
run(started_bar(3), range(3), {"loss": 0.5})
"""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))  # 24 rows of 100 columns
    subprocess.run([sys.executable, "-c", code], stderr=follower, check=True)
    os.close(follower)
    text = ""
    with contextlib.suppress(OSError):  # the end
        while True:
            text += os.read(leader, 2**16).decode()
    assert "epoch 2/3" in text and "8/24" in text and "images/s" in text

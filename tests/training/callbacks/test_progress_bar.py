import pytest

from mamsf_keras.training.callbacks.progress_bar import ProgressBar

pytestmark = pytest.mark.tensorflow  # no model: once


def started_bar(steps):
    bar = ProgressBar(batch_size=8)
    bar.set_params({"verbose": 1, "epochs": 1, "steps": steps})
    bar.on_train_begin()
    bar.on_epoch_begin(0)
    return bar


def test_bar_shows_images_per_second_and_not_every_finding(capsys):
    bar = started_bar(3)
    for step in range(3):
        bar.on_train_batch_end(step, {"loss": 0.5})
    bar.on_epoch_end(0, {"loss": 0.5, "val_auroc": 0.75, "val_auroc Mass": 0.25})
    text = capsys.readouterr().out
    assert "images/s:" in text and "val_auroc: 0.75" in text and "Mass" not in text


def test_skipped_steps_are_shown(capsys):
    bar = started_bar(1)
    bar.on_train_batch_end(0, {"loss": 0.5})
    bar.on_epoch_end(0, {"loss": 0.5, "skipped_steps": 3, "learning_rate": 0.125})
    text = capsys.readouterr().out
    assert "skipped_steps: 3" in text and "0.125" not in text


def test_rate_leaves_out_the_first_step(capsys):
    """The first step builds the graph, so a single step has no rate."""
    bar = started_bar(1)
    bar.on_train_batch_end(0, {"loss": 0.5})
    bar.on_epoch_end(0, {"loss": 0.5})
    assert "images/s" not in capsys.readouterr().out


def test_step_behind_the_bar_is_not_shown():
    """Keras calls an async-safe callback from several threads, in any order."""
    bar = started_bar(9)
    shown = []
    for step in (0, 3, 2, 1, 6, 5):
        bar.on_train_batch_end(step, {"loss": 0.5})
        shown.append(bar.seen)
    assert shown == [1, 4, 4, 4, 7, 7]

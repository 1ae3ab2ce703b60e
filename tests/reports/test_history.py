import csv

import numpy as np
import pytest
from PIL import Image

from mamsf_keras.reports.history import write_history_plot, write_history_table

pytestmark = pytest.mark.no_keras

EPOCHS = [{"epoch": i, "loss": 1 / (i + 1), "val_auroc": [0.5, 0.9, 0.7][i]} for i in range(3)]


def test_table_is_read_back_exactly(tmp_path):
    write_history_table(EPOCHS, tmp_path / "history.csv")
    with open(tmp_path / "history.csv", newline="") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    assert rows == EPOCHS
    assert [path.name for path in tmp_path.iterdir()] == ["history.csv"]


def test_plot_depends_only_on_the_epochs(tmp_path):
    for name, epochs in (("a", EPOCHS), ("b", EPOCHS), ("c", EPOCHS[:2]), ("d", EPOCHS[::-1])):
        write_history_plot(epochs, "val_auroc", tmp_path / f"{name}.png")
    a, b, c, _ = (path.read_bytes() for path in sorted(tmp_path.iterdir()))
    assert a == b != c
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (900, 350) and image.text == {}  # no date, no version


def test_best_epoch_is_marked(tmp_path):
    """A ring in Matplotlib's second color, orange, lies on the second or on the last epoch."""
    for scores, marked in (([0.5, 0.9, 0.7], [True, False]), ([0.5, 0.7, 0.9], [False, True])):
        epochs = [{**log, "val_auroc": score} for log, score in zip(EPOCHS, scores, strict=True)]
        write_history_plot(epochs, "val_auroc", tmp_path / "p.png")
        with Image.open(tmp_path / "p.png") as image:
            pixels = np.asarray(image.convert("RGB")).astype(int)
        orange = pixels[..., 0] - pixels[..., 2] > 80
        columns = (693, 877)  # of these epochs in the right plot, away from its legend
        assert [bool(orange[:, column - 12 : column + 12].sum() > 20) for column in columns] == marked

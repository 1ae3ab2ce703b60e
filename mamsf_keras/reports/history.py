"""The epochs of a run as a table and as a plot. They hold no wall-clock times, so equal runs write equal files."""

from pathlib import Path

import pandas as pd

from mamsf_keras.storage import atomic_write, write_csv


def write_history_table(epochs: list[dict], out: str | Path) -> None:
    """Writes the logs of the epochs as CSV, one row per epoch."""
    write_csv(out, pd.DataFrame(epochs))


def write_history_plot(epochs: list[dict], score: str, out: str | Path) -> None:
    """Writes a PNG of the loss and of a score over the epochs, with the best score marked."""
    from matplotlib.figure import Figure

    table = pd.DataFrame(epochs)
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    for axis, name in zip(figure.subplots(1, 2), ("loss", score), strict=True):
        axis.plot(table["epoch"], table[name], marker="o")
        axis.set(xlabel="epoch", title=name)
        axis.xaxis.get_major_locator().set_params(integer=True)
    best = table[score].argmax()
    axis.plot(table["epoch"][best], table[score][best], "o", mfc="none", ms=12, label="best epoch")
    axis.legend()
    with atomic_write(out) as temporary:
        figure.savefig(temporary, dpi=100, format="png", metadata={"Software": None})

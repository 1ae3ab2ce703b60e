"""What a run's epochs were like, as a table and as a picture. No clock time, so that equal runs leave equal files."""

import pandas as pd

from mamsf_keras.files import whole_file


def write_history(history: list[dict], run_dir):
    """Writes `history.csv`, a row an epoch, and `history.png`: the loss, and the validation AUROC with its best."""
    from matplotlib.figure import Figure

    table = pd.DataFrame(history)
    with whole_file(run_dir / "history.csv") as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    for axis, name in zip(figure.subplots(1, 2), ("loss", "val_auroc"), strict=True):
        axis.plot(table["epoch"], table[name], marker="o")
        axis.set(xlabel="epoch", title=name)
        axis.xaxis.get_major_locator().set_params(integer=True)
    best = table["val_auroc"].idxmax()
    axis.plot(table["epoch"][best], table["val_auroc"][best], "o", mfc="none", ms=12, label="best.keras")
    axis.legend()
    with whole_file(run_dir / "history.png") as temporary:
        figure.savefig(temporary, dpi=100, format="png", metadata={"Software": None})

"""History: the logs of the finished epochs of a run."""

from collections.abc import Iterable

SCORE = "val_auroc"
"""The log that the best model is chosen by: the mean AUROC on the validation split."""
SCORED_FINDINGS = "val_findings"
"""The log of the number of findings that this mean is taken over."""


class History:
    """The logs of the finished epochs. Best epoch, patience and the epoch to resume from follow from it alone.

    Args:
        epochs: one dictionary per epoch, with `epoch`, counted from 1, and the logs.
    """

    def __init__(self, epochs: Iterable[dict] = ()) -> None:
        self.epochs = list(epochs)

    def __len__(self) -> int:
        return len(self.epochs)

    def append(self, epoch: int, logs: dict) -> None:
        """Adds a finished epoch, counted from 0 as Keras does."""
        self.epochs.append({"epoch": epoch + 1, **{name: float(value) for name, value in logs.items()}})

    @property
    def best(self) -> dict:
        """The logs of the first epoch with the best score."""
        return max(self.epochs, key=lambda logs: logs[SCORE])

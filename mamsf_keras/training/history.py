"""History: the logs of the finished epochs of a run."""

SCORE = "val_auroc"
"""The log that the best model is chosen by: the mean AUROC on the validation split."""


class History:
    """The logs of the finished epochs. Best epoch, patience and the epoch to resume from follow from it alone.

    Args:
        epochs: one dictionary per epoch, with `epoch`, counted from 0, and the logs.
    """

    def __init__(self, epochs=()):
        self.epochs = list(epochs)

    def __len__(self):
        return len(self.epochs)

    def append(self, epoch: int, logs: dict):
        """Adds a finished epoch."""
        self.epochs.append({"epoch": epoch, **{name: float(value) for name, value in logs.items()}})

    @property
    def best(self) -> dict:
        """The logs of the first epoch with the best score."""
        return max(self.epochs, key=lambda logs: logs[SCORE])

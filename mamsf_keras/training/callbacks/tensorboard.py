"""TensorBoard: the logs of each epoch as scalars, written without TensorFlow."""

import time
from pathlib import Path

import keras

from mamsf_keras.storage import atomic_write
from mamsf_keras.training.callbacks.validation_auroc import finding_log
from mamsf_keras.training.history import History

PREFIX = "events.out.tfevents.after-epoch."
"""Prefix of the names of event files. TensorBoard reads the files of a folder in the order of their names."""


class TensorBoard(keras.callbacks.Callback):
    """Writes the logs of each epoch as TensorBoard scalars, one event file per epoch.

    The folder therefore contains each epoch of the history exactly once, even if the run is killed and resumed: a
    missing file is written, and one that is ahead of the history is removed.

    The files are written by tensorboardX, because Keras' own callback needs TensorFlow, and tensorboard's `Writer`
    imports it if it is installed.

    Args:
        history: the finished epochs.
        folder: folder of the event files.
    """

    def __init__(self, history: History, folder: str | Path) -> None:
        super().__init__()
        self.history = history
        self.folder = Path(folder)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Writes the files that are missing, and removes those of other epochs."""
        self.folder.mkdir(parents=True, exist_ok=True)
        wanted = {f"{PREFIX}{number:05d}": logs for number, logs in enumerate(self.history.epochs, 1)}
        present = {path.name for path in self.folder.glob(f"{PREFIX}*")}
        for name in present - set(wanted):
            (self.folder / name).unlink()
        for name in sorted(set(wanted) - present):
            write_scalars(self.folder / name, wanted[name])


def write_scalars(path: Path, logs: dict) -> None:
    """Writes an event file with the logs of an epoch, at step `logs["epoch"]`, atomically."""
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.proto.summary_pb2 import Summary
    from tensorboardX.record_writer import RecordWriter

    # Not `tensorboardX.summary.scalar`, which changes names: two findings could become one.
    scalars = {scalar_name(name): value for name, value in logs.items() if name != "epoch"}
    values = [Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
    now = time.time()
    events = [
        Event(wall_time=now, file_version="brain.Event:2"),
        Event(wall_time=now, step=logs["epoch"], summary=Summary(value=values)),
    ]
    with atomic_write(path) as temporary:
        writer = RecordWriter(str(temporary))
        for event in events:
            writer.write(event.SerializeToString())
        writer.close()


def scalar_name(log: str) -> str:
    """Returns the name of a log in a viewer, in which the scores of single findings form a separate group."""
    prefix = finding_log("")
    return f"{prefix.strip()}_of/{log.removeprefix(prefix)}" if log.startswith(prefix) else log

"""TensorBoard: the logs of each epoch as scalars, written without TensorFlow."""

import functools
import time
from pathlib import Path
from typing import TYPE_CHECKING

import keras

from mamsf_keras.training.callbacks.validation_auroc import finding_log

if TYPE_CHECKING:
    from tensorboardX.event_file_writer import EventsWriter


class TensorBoard(keras.callbacks.Callback):
    """Writes the logs of each epoch as TensorBoard scalars.

    By tensorboardX: Keras' own callback needs TensorFlow, and tensorboard's `Writer` imports it where it is installed.
    `EventsWriter` is used in place of `SummaryWriter`, whose `flush` does not wait for its writing thread (2.6.5): a
    run that is killed would lose the last epochs.

    Args:
        folder: folder of the event files.
    """

    def __init__(self, folder: str | Path) -> None:
        super().__init__()
        self.folder = folder

    @functools.cached_property
    def writer(self) -> "EventsWriter":
        """The writer, whose file starts with the first epoch that ends."""
        from tensorboardX.event_file_writer import EventsWriter

        Path(self.folder).mkdir(parents=True, exist_ok=True)
        return EventsWriter(str(Path(self.folder) / "events"))

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Writes at step `epoch + 1`."""
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.summary import scalar

        assert logs is not None
        for name, value in logs.items():
            summary = scalar(scalar_name(name), float(value))
            self.writer.write_event(Event(wall_time=time.time(), step=epoch + 1, summary=summary))
        self.writer.flush()


def scalar_name(log: str) -> str:
    """Returns the name of a log in a viewer, in which the scores of single findings form a separate group."""
    prefix = finding_log("")
    return f"{prefix.strip()}_of/{log.removeprefix(prefix)}" if log.startswith(prefix) else log

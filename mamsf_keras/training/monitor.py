"""What a person watches of a run: the progress bar, TensorBoard, MLflow."""

import contextlib
import dataclasses
import functools
import time
from pathlib import Path

import keras
import numpy as np
from keras import ops

from mamsf_keras.config import TrainConfig
from mamsf_keras.files import whole_file
from mamsf_keras.model.momentum_anchor import decay_at
from mamsf_keras.training.selective_ema import anchors_of, steps_taken


class ProgressBar(keras.callbacks.ProgbarLogger):
    """Keras' progress bar, with images a second (without the first step, which builds the graph).

    At the end of an epoch it shows the loss, the validation AUROC and the steps that float16 skipped; the other logs
    are for files.

    Args:
        batch_size: images a step.
    """

    def __init__(self, batch_size):
        super().__init__()
        self.batch_size = batch_size

    def on_epoch_begin(self, epoch, logs=None):
        super().on_epoch_begin(epoch, logs)
        self.first = None
        self.rate = {}

    def on_train_batch_end(self, batch, logs=None):
        now = time.perf_counter()
        if self.first is None:
            self.first = batch, now
        elif batch > self.first[0]:
            self.rate = {"images/s": (batch - self.first[0]) * self.batch_size / (now - self.first[1])}
        super().on_train_batch_end(batch, {**logs, **self.rate})

    def on_epoch_end(self, epoch, logs=None):
        shown = {name: logs[name] for name in ("loss", "val_auroc", "skipped_steps") if name in logs}
        super().on_epoch_end(epoch, {**shown, **self.rate})


class Gauges(keras.callbacks.Callback):
    """Adds to the logs of an epoch the learning rate, and of the anchor its decay and its drift.

    The drift is ||online - shadow|| / ||online|| over all weights of the block. There are none while it stands still.
    With float16 it adds `skipped_steps`: those of the epoch whose gradients had overflowed, which Keras leaves out and
    does not count in the schedule of the learning rate.
    """

    def on_epoch_begin(self, epoch, logs=None):
        """Remembers how many steps the optimizer has taken."""
        self.taken = steps_taken(self.model)

    def on_epoch_end(self, epoch, logs=None):
        """Reads them as the epoch left them."""
        logs["learning_rate"] = float(ops.convert_to_numpy(self.model.optimizer.learning_rate))
        if isinstance(self.model.optimizer, keras.optimizers.LossScaleOptimizer):
            logs["skipped_steps"] = self.params["steps"] - (steps_taken(self.model) - self.taken)
        for anchor in anchors_of(self.model):
            if ops.convert_to_numpy(anchor.armed):
                updates = ops.convert_to_tensor(anchor.clock)[1]
                logs["decay"] = float(ops.convert_to_numpy(decay_at(ops.convert_to_tensor(anchor.policy), updates)))
                logs["drift"] = drift(anchor)


def drift(anchor) -> float:
    """Computes ||online - shadow|| / ||online|| over all weights of a `MomentumAnchor`."""
    online, shadow = (
        np.concatenate([ops.convert_to_numpy(weight).astype(np.float64).ravel() for weight in block.weights])
        for block in (anchor.online, anchor.shadow)
    )
    return float(np.linalg.norm(online - shadow) / np.linalg.norm(online))


class TensorBoard(keras.callbacks.Callback):
    """Writes the logs of each epoch as TensorBoard scalars. Keras' own callback needs TensorFlow; this does not.

    Args:
        folder: of the event files.
    """

    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    @functools.cached_property
    def writer(self):
        """Writes the event file, which begins with the first epoch that ends."""
        from tensorboard.summary import Writer

        return Writer(str(self.folder))

    def on_epoch_end(self, epoch, logs=None):
        """Writes at the step `epoch + 1`."""
        for name, value in logs.items():
            self.writer.add_scalar(tag(name), float(value), step=epoch + 1)
        self.writer.flush()


class MLflow(keras.callbacks.Callback):
    """Sends configuration and logs to an MLflow server; a resumed run goes on there. Needs `mlflow-skinny`.

    A server that is lost on the way is said and does not stop the run.

    Args:
        config: of the run; `config.mlflow` is the tracking URI.
        run_dir: the run folder, whose name the run has there; `mlflow-run.txt` in it keeps the run's id.

    Raises:
        ImportError: if MLflow is not installed.
        ConnectionError: if the server cannot be reached.
    """

    def __init__(self, config: TrainConfig, run_dir):
        super().__init__()
        try:
            import mlflow
        except ImportError:
            raise ImportError("--mlflow needs `pip install mlflow-skinny`.") from None
        self.errors = (mlflow.exceptions.MlflowException, OSError)
        self.lost = False
        try:
            self.client = mlflow.MlflowClient(config.mlflow)
            self.run_id = self._run(config, Path(run_dir))
        except self.errors as error:
            raise ConnectionError(f"MLflow at {config.mlflow}: {error}") from error

    def _run(self, config, run_dir) -> str:
        """Takes up the run that was begun there, or begins one."""
        from mlflow.entities import Param

        experiment = self.client.get_experiment_by_name("mamsf-keras")
        number = experiment.experiment_id if experiment else self.client.create_experiment("mamsf-keras")
        note = run_dir / "mlflow-run.txt"
        known = note.read_text(encoding="utf-8") if note.exists() else None
        if known in [run.info.run_id for run in self.client.search_runs([number])]:
            self.client.update_run(known, status="RUNNING")
            return known
        run_id = self.client.create_run(number, run_name=run_dir.name).info.run_id
        with whole_file(note) as temporary:
            temporary.write_text(run_id, encoding="utf-8")
        params = [Param(name, str(value)) for name, value in dataclasses.asdict(config).items()]
        self.client.log_batch(run_id, params=params)
        return run_id

    def on_epoch_end(self, epoch, logs=None):
        """Sends at the step `epoch + 1`."""
        from mlflow.entities import Metric

        if self.lost:  # each try takes minutes
            return
        now = int(1000 * time.time())
        metrics = [Metric(tag(name), float(value), now, epoch + 1) for name, value in logs.items()]
        try:
            self.client.log_batch(self.run_id, metrics)
        except self.errors as error:
            self.lost = True
            print(f"\nMLflow did not take epoch {epoch + 1} and is left alone from now on: {error}", flush=True)

    def finish(self, status):
        """Says there how the run has ended, "FINISHED" or "FAILED"."""
        try:
            if not self.lost:
                self.client.set_terminated(self.run_id, status)
        except self.errors as error:
            print(f"MLflow did not take the end: {error}", flush=True)


@contextlib.contextmanager
def loggers(config: TrainConfig, run_dir, writes: bool):
    """Gives the callbacks that show the logs; in a process that writes none, the progress bar alone."""
    bar = ProgressBar(config.batch_size)
    if not writes:
        yield [bar]
        return
    board = TensorBoard(run_dir / "tensorboard")
    server = MLflow(config, run_dir) if config.mlflow else None
    status = "FAILED"
    try:
        yield [board, *([server] if server else []), bar]
        status = "FINISHED"
    finally:
        if server:
            server.finish(status)


def tag(name: str) -> str:
    """Names a log in a viewer: the scores of single findings in a group of their own."""
    return name.replace("val_auroc ", "val_auroc_of/")

"""What a run does at the end of a step and of an epoch: validation AUROC, model files, a stop on a bad loss."""

import functools
import math
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from keras import ops

from mamsf_keras.config import TrainConfig
from mamsf_keras.data.stream import Stream
from mamsf_keras.evaluation.metrics import mean_over_findings, per_finding
from mamsf_keras.evaluation.predictions import predict
from mamsf_keras.files import whole_file
from mamsf_keras.training.build import build_twin
from mamsf_keras.training.checkpoint import save_checkpoint
from mamsf_keras.training.distribute import this_process_alone
from mamsf_keras.training.history import write_history
from mamsf_keras.training.phases import phase_of


class StopOnBadLoss(keras.callbacks.Callback):
    """Stops training with an error at the first step whose running mean loss is NaN or infinite.

    The error says the learning rate, and the names of the images of that step go to `bad-batch.csv`.

    Args:
        stream: the training images and labels.
        steps: of an epoch.
        run_dir: folder that the file goes to.
        writes: whether this process writes it.
    """

    def __init__(self, stream: Stream, steps, run_dir, writes=True):
        super().__init__()
        self.stream = stream
        self.steps = steps
        self.file = Path(run_dir) / "bad-batch.csv"
        self.writes = writes

    def on_epoch_begin(self, epoch, logs=None):
        """Remembers where in the stream the epoch begins."""
        self.epoch = epoch
        self.last = range(0)

    def on_train_batch_end(self, batch, logs=None):
        """Checks the loss; with several steps an execution, of all of them.

        Raises:
            ValueError: names the epoch, the step, the learning rate and the file.
        """
        self.last = range(self.last.stop, batch + 1)
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            self.stop(f"The loss became {loss}")

    def stop(self, what: str):
        """Stops training at the last step, of which `what` says what was found."""
        first = self.epoch * self.steps
        rows = np.concatenate([self.stream.rows(first + step) for step in self.last])
        if self.writes:
            with whole_file(self.file) as temporary:
                pd.DataFrame({"image": self.stream.images[rows]}).to_csv(temporary, index=False, lineterminator="\n")
        rate = float(ops.convert_to_numpy(self.model.optimizer.learning_rate))
        raise ValueError(
            f"{what} at epoch {self.epoch + 1}, step {self.last.stop}, learning rate {rate:.3g}: use a lower "
            f"--learning-rate. The images of that step: {self.file}."
        )


class ValidationAUROC(keras.callbacks.Callback):
    """Adds the exact AUROC on the validation part to each epoch's logs: `val_auroc NAME` of each finding where it is
    defined, and their mean `val_auroc`.

    Args:
        stream: the validation images and labels.
        findings: names of the label columns.
        stop: called, as `StopOnBadLoss.stop`, if the model has come to answer NaN or infinity: the last step of an
            epoch can do it after its loss was seen.
    """

    def __init__(self, stream: Stream, findings, stop):
        super().__init__()
        self.stream = stream
        self.findings = findings
        self.stop = stop

    def on_epoch_end(self, epoch, logs=None):
        """Predicts the validation images."""
        outputs = predict(self.model, self.stream, verbose=0)
        if not np.isfinite(outputs).all():
            self.stop("The outputs became infinite or NaN")
        metrics = per_finding(self.stream.labels, outputs, self.findings)
        logs["val_auroc"] = mean_over_findings(metrics, "auroc")
        logs.update({f"val_auroc {name}": row["auroc"] for name, row in metrics.items() if row["auroc"] is not None})


class RunFiles(keras.callbacks.Callback):
    """Writes what a run leaves after each epoch: `best.keras` at a new best, a checkpoint, the history.

    A `.keras` file holds a twin of the model in float32 with sigmoid output and a disarmed shadow, without the
    optimizer.

    Args:
        run_dir: folder that the files go to.
        config: of the run; stops it after `config.patience` epochs of a phase without a better `val_auroc`.
        findings: names of the outputs.
        history: the logs of the epochs that are done, one dictionary each; grows.
        writes: whether this process writes the files.
    """

    def __init__(self, run_dir, config: TrainConfig, findings, history, writes=True):
        super().__init__()
        self.run_dir = Path(run_dir)
        self.config = config
        self.findings = findings
        self.history = history
        self.writes = writes
        if writes and history:
            write_history(history, self.run_dir)

    @property
    def best(self) -> dict:
        """The logs of the first epoch with the best score."""
        return max(self.history, key=lambda logs: logs["val_auroc"])

    @property
    def exhausted(self) -> bool:
        """Whether the last `patience` epochs, all of one phase that is not frozen, brought nothing better."""
        patience, done = self.config.patience, len(self.history)
        if not (patience and done):
            return False
        phase = phase_of(self.config, done - 1)
        return not phase.frozen and done - max(self.best["epoch"] + 1, phase.first) >= patience

    def on_epoch_end(self, epoch, logs=None):
        """Writes the files; the checkpoint after the model, so that a resumed run lacks none."""
        self.history.append({"epoch": epoch, **{name: float(value) for name, value in logs.items()}})
        if self.best["epoch"] == epoch:
            self.write_model("best.keras", self.model)
        if self.writes:
            save_checkpoint(self.model, self.history, self.run_dir / "checkpoints")
            write_history(self.history, self.run_dir)
        self.model.stop_training = self.exhausted

    def write_model(self, name, model):
        """Writes a model for use."""
        if not self.writes:
            return
        with this_process_alone():
            self.twin.set_weights(model.get_weights())
            if self.twin.anchor:
                self.twin.anchor.disarm()
            with whole_file(self.run_dir / name) as temporary:
                self.twin.save(temporary)

    @functools.cached_property
    def twin(self):
        """A model for use, to be given the weights of the one that is trained."""
        return build_twin(self.config, self.findings)

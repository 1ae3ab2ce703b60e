"""What a run does at the end of a step and of an epoch: validation AUROC, model files, a stop on a bad loss."""

import math
from pathlib import Path

import keras
import numpy as np

from mamsf_keras.data.stream import Stream
from mamsf_keras.evaluation.metrics import mean_over_findings, per_finding
from mamsf_keras.evaluation.predictions import predict
from mamsf_keras.files import whole_file
from mamsf_keras.model.mamsf import MAMSFNet


class StopOnBadLoss(keras.callbacks.Callback):
    """Stops training with an error at the first step whose running mean loss is NaN or infinite."""

    def on_epoch_begin(self, epoch, logs=None):
        """Remembers the epoch for the message."""
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        """Checks the loss.

        Raises:
            ValueError: names the epoch and step.
        """
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            raise ValueError(f"The loss became {loss} at epoch {self.epoch + 1}, step {batch + 1}: use a lower rate.")


class ValidationAUROC(keras.callbacks.Callback):
    """Adds `val_auroc`, the exact mean AUROC over the findings of the validation part, to each epoch's logs.

    Args:
        stream: the validation images and labels.
        findings: names of the label columns.
    """

    def __init__(self, stream: Stream, findings):
        super().__init__()
        self.stream = stream
        self.findings = findings

    def on_epoch_end(self, epoch, logs=None):
        """Predicts the validation images; averaged are the findings that have both kinds of images.

        Raises:
            ValueError: if the model has come to answer NaN or infinity; names the epoch.
        """
        outputs = predict(self.model, self.stream, verbose=0)
        if not np.isfinite(outputs).all():  # the last step of an epoch can do it after its loss was seen
            raise ValueError(f"The outputs are not finite after epoch {epoch + 1}: use a lower rate.")
        metrics = per_finding(self.stream.labels, outputs, self.findings)
        logs["val_auroc"] = mean_over_findings(metrics, "auroc")


class SaveModels(keras.callbacks.Callback):
    """Writes `best.keras` at each new best `val_auroc` and `last.keras` at the end of training, ready for use.

    The files hold a twin of the model in float32 with sigmoid output and a disarmed shadow, without the optimizer.

    Args:
        run_dir: folder that the two files go to.
    """

    def __init__(self, run_dir):
        super().__init__()
        self.run_dir = Path(run_dir)
        self.best = -math.inf
        self.best_epoch = None
        self.twin = None

    def on_epoch_end(self, epoch, logs=None):
        """Writes `best.keras` if the score is the best so far."""
        if logs["val_auroc"] > self.best:
            self.best, self.best_epoch = logs["val_auroc"], epoch + 1
            self._write("best.keras")

    def on_train_end(self, logs=None):
        """Writes `last.keras`."""
        self._write("last.keras")

    def _write(self, name):
        if self.twin is None:
            self.twin = twin_for_use(self.model)
        self.twin.set_weights(self.model.get_weights())
        if self.twin.anchor:
            self.twin.anchor.disarm()
        with whole_file(self.run_dir / name) as temporary:
            self.twin.save(temporary)


def twin_for_use(model: MAMSFNet) -> MAMSFNet:
    """Builds a model of the same shape in float32 with sigmoid output and nothing frozen; its weights are fresh."""
    twin = MAMSFNet.from_config({**model.get_config(), "classifier_activation": "sigmoid"})
    twin.features.trainable = twin.final_block.trainable = True
    return twin

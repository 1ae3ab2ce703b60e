"""ValidationAUROC: the exact AUROC on the validation split, after each epoch."""

from collections.abc import Callable

import keras
import numpy as np

from mamsf_keras.data.batches.stream import Stream
from mamsf_keras.evaluation.metrics import mean_over_findings, per_finding
from mamsf_keras.predictors.keras_model import KerasPredictor
from mamsf_keras.training.history import SCORE, SCORED_FINDINGS


class ValidationAUROC(keras.callbacks.Callback):
    """Adds the AUROC on the validation split to the logs of each epoch: the mean, and that of each finding.

    The number of findings that the mean is taken over is added too. A finding whose AUROC is undefined has no log.

    Args:
        stream: the validation images and labels.
        fail: `StopOnNonFinite.fail`, called if the outputs are not finite: the last step of an epoch can spoil the
            weights after its loss was finite.
    """

    def __init__(self, stream: Stream, fail: Callable[[str, int], object]) -> None:
        super().__init__()
        self.stream = stream
        self.fail = fail

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Predicts the validation images and adds the scores to `logs`."""
        assert logs is not None
        outputs = KerasPredictor(self.model).predict_stream(self.stream, progress=False)
        if not np.isfinite(outputs).all():
            self.fail("The outputs became infinite or NaN", self.params["steps"] - 1)
        metrics = per_finding(self.stream.labels, outputs, self.stream.dataset.findings)
        defined = {finding_log(name): row["auroc"] for name, row in metrics.items() if row["auroc"] is not None}
        logs.update({SCORE: mean_over_findings(metrics, "auroc"), SCORED_FINDINGS: len(defined), **defined})


def finding_log(finding: str) -> str:
    """Returns the name of the log that holds the AUROC of one finding."""
    return f"{SCORE} {finding}"

"""Opens the source of predictions (a run, an export or a server) with its calibration."""

import dataclasses
import logging
from pathlib import Path

import numpy as np
from scipy.special import expit

from mamsf_keras.config import OPERATING_POINTS
from mamsf_keras.evaluation.calibration import Calibration, logits
from mamsf_keras.inference.exports import open_export
from mamsf_keras.predictors.predictor import Predictor
from mamsf_keras.predictors.server import open_server
from mamsf_keras.run_dir import RunDir
from mamsf_keras.settings import require_choice
from mamsf_keras.storage import checksum

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Scores:
    """The predictions of a batch, each float64 `(images, findings)`.

    Attributes:
        probabilities: probabilities in [0, 1].
        calibrated: calibrated probabilities, NaN where a finding has no calibration; None if the source has none.
        positive: 1 or 0 by the operating point, NaN where a finding has no threshold; None if the source has none.
    """

    probabilities: np.ndarray
    calibrated: np.ndarray | None
    positive: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class Source:
    """A predictor with the calibration that turns its probabilities into decisions.

    Attributes:
        name: path of the run or the export, or URL of the server, as it was given.
        predictor: makes the predictions.
        image_size: height and width that images are resized to.
        operating_point: name of the operating point of the decisions; None if an export makes them, or none are made.
        calibration: calibration of a run; None for exports, which contain theirs, and for a run without one.
        model_sha256: checksum of the model file; None for folders and servers.
    """

    name: str
    predictor: Predictor
    image_size: int
    operating_point: str | None = None
    calibration: Calibration | None = None
    model_sha256: str | None = None

    def score(self, pixels: np.ndarray, batch_size: int) -> Scores:
        """Predicts a batch.

        Args:
            pixels: uint8 `(images, image_size, image_size)`, at most `batch_size` images.
            batch_size: size that the batch is padded to for a model that is compiled for each size.
        """
        count = len(pixels)
        if self.predictor.compiles and count < batch_size:
            pixels = np.concatenate([pixels, np.zeros((batch_size - count, *pixels.shape[1:]), np.uint8)])
        outputs = self.predictor.outputs(pixels[..., None])
        arrays = {name: np.asarray(values, np.float64)[:count] for name, values in outputs.items()}
        if not np.isfinite(arrays["probabilities"]).all():
            raise ValueError(f"{self.name} predicts infinite values or NaN.")
        if self.calibration is None:
            return Scores(arrays["probabilities"], arrays.get("calibrated"), arrays.get("positive"))
        return self._decide(self.calibration, arrays["probabilities"])

    def _decide(self, calibration, probabilities) -> Scores:
        coefficients = calibration.coefficients(self.predictor.findings, self.operating_point)
        slope, intercept, threshold = (np.array(coefficients[key]) for key in ("slope", "intercept", "threshold"))
        positive = np.where(np.isinf(threshold), np.nan, probabilities >= threshold)
        return Scores(probabilities, expit(logits(probabilities) * slope + intercept), positive)

    @property
    def thresholds(self) -> dict[str, float | None]:
        """The threshold of the raw probability by finding; None where there is none. Empty without a calibration."""
        if self.calibration is None or self.operating_point is None:
            return {}
        fitted = {name: self.calibration.findings.get(name) for name in self.predictor.findings}
        return {name: one.thresholds[self.operating_point] if one else None for name, one in fitted.items()}

    @property
    def unstable(self) -> list[str]:
        """Findings whose thresholds were fitted on few patients."""
        return [name for name, one in self.calibration.findings.items() if one.unstable] if self.calibration else []


def open_source(
    run_dir: str | Path | None = None,
    model: str | Path | None = None,
    server: str | None = None,
    *,
    operating_point: str | None = None,
    image_size: int | None = None,
) -> Source:
    """Opens a run, an export or a server.

    Args:
        run_dir: folder of a run, whose best model and calibration are used.
        model: an export: the folder of a version of a SavedModel, a `.tflite`, `.onnx` or `.keras` file, or the folder
            of an export in Keras format.
        server: URL of a server; see `ServerPredictor`.
        operating_point: one of `OPERATING_POINTS`, for a run; "youden" by default. That of an export is fixed.
        image_size: height and width in pixels, for a model that accepts any.

    Raises:
        FileNotFoundError: if the run or the export does not exist.
        ValueError: if not exactly one source is given, or it is invalid.
        ConnectionError: if the server cannot be reached.
    """
    if sum(given is not None for given in (run_dir, model, server)) != 1:
        raise ValueError("Use exactly one of `run_dir`, `model` and `server`.")
    if operating_point is not None:
        require_choice(operating_point, "operating_point", OPERATING_POINTS)
    if run_dir is not None:
        return _open_run(RunDir.open(run_dir), operating_point or "youden", image_size)
    if operating_point is not None:
        raise ValueError("`operating_point` needs `run_dir`. The operating point of an export is fixed.")
    if model is None:
        predictor = open_server(str(server))
        return Source(str(server), predictor, _size(predictor.image_size, image_size, None))
    exported = open_export(model)
    sha256 = checksum(model) if Path(model).is_file() else None
    return Source(str(model), exported, _size(exported.image_size, image_size, None), model_sha256=sha256)


def _open_run(run, operating_point, image_size) -> Source:
    path = run.best_model()
    predictor, model = open_export(path), checksum(path)
    calibration = Calibration.of_model(run.calibration, model)
    if calibration is None:
        what = "the calibration of an earlier model" if run.calibration.exists() else "no calibration"
        logger.warning(
            "no calibrated probabilities and no decisions: the run has %s (`mamsf-keras evaluate` fits one)", what
        )
    size = _size(predictor.image_size, image_size, run.config.image_size)
    source = Source(str(run.path), predictor, size, operating_point if calibration else None, calibration, model)
    if source.unstable:
        logger.info("unstable thresholds, fitted on few patients: %s", ", ".join(source.unstable))
    return source


def _size(fixed: int | None, asked: int | None, default: int | None) -> int:
    """Returns the image size of a model, or the one asked for if the model accepts any."""
    if fixed is not None and asked not in (None, fixed):
        raise ValueError(f"`image_size` must be that of the model, {fixed}. Received: image_size={asked}.")
    size = fixed or asked or default
    if size is None:
        raise ValueError("The model accepts images of any size. Choose one with `image_size`.")
    return size

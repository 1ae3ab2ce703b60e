"""The model card of an export: what the model is, what it was trained on, its performance and its limits."""

import logging
from pathlib import Path
from typing import Any

from mamsf_keras.config import NOTICE, TrainConfig
from mamsf_keras.data.cache.layout import is_finished, read_meta
from mamsf_keras.data.readers import cache, labels_csv, nih
from mamsf_keras.evaluation.calibration import Calibration
from mamsf_keras.run_dir import RunDir
from mamsf_keras.storage import checksum

SCHEMA_VERSION = 1
SPLIT = "test"
"""The split whose metrics the card reports."""
INTENDED_USE = (
    "Research on long-tailed classification of frontal chest radiographs, and engineering of pipelines around such a "
    "model. The labels of public data sets are mostly mined from reports: a score measures agreement with them."
)
OUT_OF_SCOPE = (
    "Diagnosis, triage or treatment; lateral or pediatric images and devices unlike those of the training data, unless "
    "evaluated; images of other body parts, for which the outputs are meaningless."
)
DATA = {
    "nih": "Images in the layout of NIH ChestX-ray14 (Wang et al., CVPR 2017, arXiv 1705.02315), which the NIH "
    "Clinical Center provides without restriction on use: https://nihcc.app.box.com/v/ChestXray-NIHCC",
    "phantoms": "Generated phantoms: drawings of chest radiographs. Scores on them say nothing about patients.",
    "labels_csv": "Images of a label table. Citation and license are those of the data set.",
    "cache": "A cache of prepared images. Citation and license are those of the data set that it was made of.",
    "unknown": "Unknown: the run does not record it, and the data folder no longer exists.",
}
TRAINING = ("backbone", "weights", "image_size", "fusion", "anchor", "cut", "decay", "decay_schedule", "epochs",
            "batch_size", "loss", "learning_rate", "weight_decay", "augment", "precision", "seed")  # fmt: skip

logger = logging.getLogger(__name__)


def describe_run(run: RunDir, calibration: Calibration | None, operating_point: str) -> dict[str, Any]:
    """Describes the best model of a run as a JSON-ready dictionary.

    The metrics are those of `metrics-test.json`, if they belong to this model; otherwise `evaluation` is None, with a
    warning.
    """
    environment = run.read_environment() if run.environment.exists() else {}
    config = run.config
    return {
        "schema_version": SCHEMA_VERSION,
        "notice": NOTICE,
        "intended_use": INTENDED_USE,
        "out_of_scope": OUT_OF_SCOPE,
        "model_sha256": checksum(run.model("best")),
        "training": {name: getattr(config, name) for name in TRAINING},
        "data": {
            "source": DATA[environment.get("data_kind") or kind_of_folder(config)],
            "protocol": protocol_name(config.protocol),
            **environment.get("data", {}),
        },
        "environment": {key: environment.get(key) for key in ("mamsf-keras", "git", "python", "backend", "packages")},
        "operating_point": operating_point,
        "uncalibrated": without_fit(calibration, operating_point),
        "evaluation": matching_metrics(run),
    }


def kind_of_folder(config: TrainConfig) -> str:
    """Returns the key in `DATA` of the data of a run whose environment does not record their kind."""
    if nih.is_phantoms(config.data_dir):
        return "phantoms"
    if labels_csv.recognizes(config):
        return "labels_csv"
    if not Path(config.data_dir).exists():
        return "unknown"
    if cache.recognizes(config):
        return (is_finished(config.data_dir) and read_meta(config.data_dir).get("kind")) or "cache"
    return "nih"


def without_fit(calibration: Calibration | None, operating_point: str) -> dict[str, list[str]] | None:
    """Returns the findings without calibrated probabilities and those without a threshold; None without calibration."""
    if calibration is None:
        return None
    rows = calibration.findings.items()
    return {
        "calibrated": [name for name, row in rows if row.slope is None],
        "positive": [name for name, row in rows if row.thresholds[operating_point] is None],
    }


def matching_metrics(run: RunDir) -> dict[str, Any] | None:
    """Returns the metrics of the test split if they are those of the best model, without paths of this machine."""
    metrics = run.read_metrics(SPLIT)
    if metrics.get("model_sha256") != checksum(run.model("best")):
        logger.warning("the model card has no metrics: evaluate the test split with `evaluate` before the export")
        return None
    kept = {key: value for key, value in metrics.items() if key not in ("data_dir", "notes")}
    return {**kept, "protocol": protocol_name(metrics["protocol"])}


def protocol_name(protocol: str | None) -> str | None:
    """Returns the name of a protocol, without the folder of a file of splits."""
    return f"file:{Path(protocol[5:]).name}" if protocol and protocol.startswith("file:") else protocol

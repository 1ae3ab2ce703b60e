"""Evaluates the best model of a run on one split of its data."""

import json
import logging
from collections.abc import Iterable
from pathlib import Path

from mamsf_keras.config import TrainConfig
from mamsf_keras.data.batches.stream import Stream
from mamsf_keras.data.dataset import Dataset
from mamsf_keras.data.open import open_dataset, prepared, relocated
from mamsf_keras.devices import without_tensorflow
from mamsf_keras.evaluation.metrics import summarize
from mamsf_keras.evaluation.predictions import predictions_frame, write_predictions
from mamsf_keras.findings import find_name
from mamsf_keras.predictors.keras_model import KerasPredictor
from mamsf_keras.run_dir import RunDir
from mamsf_keras.storage import write_json

logger = logging.getLogger(__name__)


@without_tensorflow()
def evaluate(
    run_dir: str | Path,
    data_dir: str | Path | None = None,
    split: str = "test",
    allow_missing: int | str | None = None,
    overwrite: bool = False,
) -> dict:
    """Predicts one split with `best.keras` and writes `predictions-SPLIT.csv` and `metrics-SPLIT.json` into the run.

    ```python
    evaluate("runs/demo")["mean_auroc"]
    ```

    Args:
        run_dir: the folder of a run.
        data_dir: the data folder; None takes the one that the run was trained on.
        split: "train", "validation" or "test".
        allow_missing: how many absent images may be left out, as a number or a share; None takes that of the run.
        overwrite: whether to replace results on another data folder.

    Returns:
        What `metrics-SPLIT.json` holds: `mean_auroc`, `mean_average_precision`, `undefined`,
        `findings.NAME.{auroc, average_precision, positives, images, masked}`, and the data folder, protocol, split,
        images and patients.

    Raises:
        FileNotFoundError: if there is no such run, or it has not finished an epoch.
        FileExistsError: if the run has results of this split on another data folder.
        ValueError: if the data do not fit the model.
    """
    run = RunDir.open(run_dir)
    folder = str(Path(data_dir or run.config.data_dir).resolve())
    if not overwrite:
        _check_same_data(run.metrics(split), folder)
    predictor = best_model(run)
    dataset = open_split(run.config, split, predictor.findings, data_dir, allow_missing)
    stream = Stream(dataset, predictor.image_size or run.config.image_size, run.config.batch_size)
    probabilities = predictor.predict_stream(stream)
    summary = {
        "data_dir": folder,
        "protocol": dataset.protocol,
        "split": split,
        "images": len(stream),
        "patients": int(dataset.table["patient"].nunique()),
        **summarize(stream.labels, probabilities, predictor.findings),
    }
    write_predictions(run.predictions(split), predictions_frame(dataset, probabilities))
    write_json(run.metrics(split), summary)
    return summary


def best_model(run: RunDir) -> KerasPredictor:
    """Loads the best model of a run. Raises `FileNotFoundError` if the run has not finished an epoch."""
    path = run.model("best")
    if not path.exists():
        raise FileNotFoundError(f"{run.path} has no {path.name} yet: resume the run until an epoch is finished.")
    return KerasPredictor(path)


def open_split(
    config: TrainConfig,
    split: str,
    findings: Iterable[str],
    data_dir: str | Path | None = None,
    allow_missing: int | str | None = None,
) -> Dataset:
    """Opens one split of the data of a run, with the findings of its model, and logs the notes about it.

    Findings of the data that the model does not have are left out, which is logged too.

    Args:
        config: the configuration of the run.
        split: "train", "validation" or "test".
        findings: names of the findings of the model, in order.
        data_dir: the data folder; None takes that of the run.
        allow_missing: how many absent images may be left out, as a number or a share; None takes that of the run.
    """
    config = relocated(config, data_dir, allow_missing)
    if config.labels_csv is not None and not Path(config.labels_csv.path).is_file():
        raise FileNotFoundError(
            f"The table {config.labels_csv.path} of the run no longer exists: prepare a cache where the data are "
            "now, and name it with `data_dir`."
        )
    dataset = prepared(open_dataset(config), config).split(split)
    used = dataset.with_findings(findings)
    left_out = ", ".join(name for name in dataset.findings if find_name(name, used.findings) is None)
    notes = (f"left out, since the model does not have it: {left_out}",) if left_out else ()
    for note in (*dataset.notes, *dataset.split_notes, *notes):
        logger.info(note)
    return used


def _check_same_data(metrics_file, folder):
    """Raises `FileExistsError` if results of another data folder are there."""
    if not metrics_file.exists():
        return
    try:
        other = json.loads(metrics_file.read_text(encoding="utf-8"))["data_dir"]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{metrics_file} is damaged: remove it, or use `overwrite`.") from None
    if other != folder:
        raise FileExistsError(f"{metrics_file} has the results on {other}: move it away, or use `overwrite`.")

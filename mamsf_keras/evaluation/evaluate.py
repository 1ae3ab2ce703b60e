"""Evaluates the best model of a run on one part of its data."""

import dataclasses
import json
import shlex
from pathlib import Path

import pandas as pd

from mamsf_keras.config import PARTS, TrainConfig, run_config, write_json
from mamsf_keras.data.cache import is_cache
from mamsf_keras.data.folder import read_run_data
from mamsf_keras.data.stream import Stream, subset
from mamsf_keras.evaluation.metrics import summarize
from mamsf_keras.evaluation.predictions import predict, predictions_frame, write_predictions
from mamsf_keras.model.mamsf import load_model


def best_model(run_dir):
    """Loads the best model of a run. Raises `FileNotFoundError` if the run has not finished an epoch yet."""
    path = Path(run_dir) / "best.keras"
    if not path.exists():
        words = shlex.join(["mamsf-keras", "train", "--run-dir", str(run_dir), "--resume"])
        raise FileNotFoundError(f"{run_dir} has no best.keras yet: finish an epoch with `{words}`.")
    return load_model(path)


def evaluation_stream(
    model, config: TrainConfig, data_dir, part: str, allow_missing=False
) -> tuple[Stream, pd.DataFrame]:
    """Returns the stream and the rows of one part of a run's data, in the findings' order of the model."""
    if part not in PARTS:
        raise ValueError(f"`split` must be one of {', '.join(PARTS)}. Received: {part}.")
    config = dataclasses.replace(config, allow_missing=allow_missing or config.allow_missing)
    if data_dir is not None and str(Path(data_dir).resolve()) != config.data_dir:
        other = dataclasses.replace(config, data_dir=data_dir, cache_dir=None)  # the run's cache is of its own folder
        config = other.at_cache(data_dir) if is_cache(data_dir) else other
    if config.labels_csv is not None and not Path(config.labels_csv).is_file():
        raise FileNotFoundError(
            f"The table {config.labels_csv} of the run is gone: prepare a cache where the data are now, and name "
            "it with --data-dir."
        )
    studies = read_run_data(config)
    lacking = [name for name in model.findings if name not in studies.findings]
    if lacking:
        raise ValueError(f"{config.data_dir} has no labels of {', '.join(lacking)}, which the model was trained on.")
    if studies.notes:
        print(*studies.notes, sep="\n", flush=True)
    table = subset(studies.table, part)
    return Stream(table, model.findings, model.image_size, config.batch_size), table


def _data_dir_of(metrics_file) -> str:
    """Reads which data folder results are of."""
    try:
        return json.loads(metrics_file.read_text(encoding="utf-8"))["data_dir"]
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{metrics_file} is damaged: remove it, or use --overwrite.") from None


def evaluate(run_dir, data_dir=None, split="test", allow_missing=False, overwrite=False) -> dict:
    """Predicts one part with `best.keras` and writes `predictions-SPLIT.csv` and `metrics-SPLIT.json` into the run.

    Args:
        run_dir: the folder of a run.
        data_dir: the data folder; None takes the one that the run was trained on.
        split: "train", "validation" or "test".
        allow_missing: go on without the images that are not there.
        overwrite: replace results on another data folder.

    Returns:
        What `metrics-SPLIT.json` holds: `mean_auroc`, `mean_average_precision`, `undefined`,
        `findings.NAME.{auroc, average_precision, positives, images, masked}`, and the data folder, protocol, split,
        images and patients.

    Raises:
        FileExistsError: if the run has results of this part on another data folder.
    """
    config = run_config(run_dir)
    folder = str(Path(data_dir or config.data_dir).resolve())
    written = Path(run_dir) / f"metrics-{split}.json"
    if not overwrite and written.exists() and (other := _data_dir_of(written)) != folder:
        raise FileExistsError(f"{written} has the results on {other}: move it away, or use --overwrite.")
    model = best_model(run_dir)
    stream, table = evaluation_stream(model, config, data_dir, split, allow_missing)
    probabilities = predict(model, stream)
    summary = {
        "data_dir": folder,
        "protocol": config.protocol,
        "split": split,
        "images": len(table),
        "patients": int(table["patient"].nunique()),
        **summarize(stream.labels, probabilities, model.findings),
    }
    write_predictions(
        Path(run_dir) / f"predictions-{split}.csv", predictions_frame(table, model.findings, probabilities)
    )
    write_json(written, summary)
    return summary

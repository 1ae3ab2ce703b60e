"""Evaluates the best model of a run on one split of its data."""

import logging
from collections.abc import Mapping
from pathlib import Path

from mamsf_keras.data.batches.stream import Stream
from mamsf_keras.data.dataset import Dataset
from mamsf_keras.data.splits import overlap
from mamsf_keras.devices import without_tensorflow
from mamsf_keras.evaluation.calibration import Calibration, fit_calibration
from mamsf_keras.evaluation.predictions import Predictions
from mamsf_keras.evaluation.prevalence import check_calibrated, prevalence_by_finding
from mamsf_keras.evaluation.results import SCHEMA_VERSION, ResultFiles, training_groups, versions, write_results
from mamsf_keras.evaluation.run_data import open_run_data, trained_fingerprint, with_findings_of
from mamsf_keras.evaluation.summary import summarize_predictions
from mamsf_keras.predictors.keras_model import KerasPredictor
from mamsf_keras.run_dir import RunDir
from mamsf_keras.storage import checksum

logger = logging.getLogger(__name__)


@without_tensorflow()
def evaluate(
    run_dir: str | Path,
    data_dir: str | Path | None = None,
    split: str = "test",
    *,
    allow_missing: int | str | None = None,
    overwrite: bool = False,
    prevalence: Mapping[str, float] | None = None,
) -> dict:
    """Predicts one split with `best.keras`, computes the metrics and writes the results to the run folder.

    The files are `predictions-SPLIT.csv`, `metrics-SPLIT.json`, `metrics-SPLIT.md` and `report-SPLIT.html`. Before
    the first evaluation of a model, the validation split is predicted and `calibration.json` is fitted on it.

    ```python
    evaluate("runs/demo")["mean_auroc"]
    ```

    Args:
        run_dir: the folder of a run.
        data_dir: the data folder; None uses the one that the run was trained on.
        split: "train", "validation" or "test".
        allow_missing: how many missing images may be left out, as a number or a percentage; None uses that of the run.
        overwrite: whether to replace results from another data folder.
        prevalence: further prevalences, in (0, 1), at which to report the positive predictive value, by finding; the
            key "" applies to all others.

    Returns:
        What `metrics-SPLIT.json` holds; docs/evaluation.md describes it.

    Raises:
        FileNotFoundError: if there is no such run, or it has not finished an epoch.
        FileExistsError: if the run has results for this split from another data folder.
        ValueError: if the data do not fit the model, or `split` is "validation" and the data are not those of the run,
            whose predictions `calibration.json` is fitted on.
    """
    run = RunDir.open(run_dir)
    folder = str(Path(data_dir or run.config.data_dir).resolve())
    if not overwrite:
        _check_same_data(run, split, folder)
    predictor = KerasPredictor(run.best_model())
    prevalence = prevalence_by_finding(prevalence, predictor.findings)
    dataset = open_run_data(run.config, data_dir, allow_missing)
    rows = with_findings_of(predictor, dataset.split(split))
    if split == "validation":
        _check_own_data(run, dataset)
    calibration = run_calibration(run, predictor, dataset)  # before the split: both may write its predictions
    check_calibrated(prevalence, calibration is not None)
    predictions = predict_split(run, predictor, rows)
    summary = {
        **_describe(run, folder, split, dataset),
        "given_prevalence": prevalence,
        "calibrated": calibration is not None,
        **summarize_predictions(
            predictions,
            calibration=calibration,
            prevalence=prevalence,
            groups=training_groups(dataset, predictor.findings),
        ),
    }
    files = ResultFiles(run.metrics(split), run.metrics_table(split), run.report(split))
    pixels = rows.open_images(rows.image_size or run.config.image_size)
    write_results(files, summary, predictions, calibration, pixels)
    return summary


def _describe(run, folder, split, dataset) -> dict:
    """Returns what was evaluated, on which data, and with which versions."""
    return {
        "schema_version": SCHEMA_VERSION,
        "data_dir": folder,
        "split": split,
        "protocol": dataset.protocol,
        "patient_overlap": sum(overlap(dataset.table["patient"], dataset.table["split"]).values()),
        "fingerprint": dataset.fingerprint,
        "notes": [*dataset.notes, *dataset.split_notes],
        "model_sha256": checksum(run.model("best")),
        "versions": versions(),
    }


def predict_split(run: RunDir, predictor: KerasPredictor, dataset: Dataset) -> Predictions:
    """Predicts the images of one split, writes `predictions-SPLIT.csv` and returns its content.

    Findings of the data that the model does not have are left out, which is logged.
    """
    dataset = with_findings_of(predictor, dataset)
    [split] = dataset.table["split"].unique()
    stream = Stream(dataset, predictor.image_size or run.config.image_size, run.config.batch_size)
    Predictions.of(dataset, predictor.predict_stream(stream)).write(run.predictions(split))
    return Predictions.read(run.predictions(split))


def run_calibration(run: RunDir, predictor: KerasPredictor, dataset: Dataset) -> Calibration | None:
    """Returns the calibration of the best model of a run, fitted on the validation split of its own data.

    It is read from `calibration.json` if it belongs to this model; otherwise the validation split is predicted.

    Args:
        run: the run.
        predictor: its best model.
        dataset: the data that are evaluated. If they are not those of the run, the data folder of the run is opened.

    Returns:
        None, with a warning, if the data of the run are not available.
    """
    model = checksum(run.model("best"))
    if calibration := Calibration.of_model(run.calibration, model):
        return calibration
    own = trained_fingerprint(run)
    try:
        if dataset.fingerprint != own:
            dataset = open_run_data(run.config)
        if dataset.fingerprint != own:
            raise ValueError("the data of the run have changed")
    except (ValueError, OSError) as error:
        logger.warning("no calibrated probabilities and no operating points: %s", error)
        return None
    logger.info("fitting the calibration on the validation split")
    predictions = predict_split(run, predictor, dataset.split("validation"))
    calibration = fit_calibration(
        predictions.labels, predictions.probabilities, predictions.findings, predictions.patients, model
    )
    calibration.save(run.calibration)
    return calibration


def _check_own_data(run, dataset):
    """Raises `ValueError` if the data are not those of the run: their predictions must not replace its own."""
    if dataset.fingerprint != trained_fingerprint(run):
        raise ValueError(
            f"{run.predictions('validation')} must hold predictions for the data of the run, because the calibration "
            "is fitted on them, but these data are different. Choose another `split`, or evaluate them with "
            "`predictions`."
        )


def _check_same_data(run, split, folder):
    """Raises `FileExistsError` if there are results from another data folder, `ValueError` if they are damaged."""
    metrics = run.read_metrics(split)
    if metrics and metrics.get("data_dir") != folder:
        raise FileExistsError(
            f"{run.metrics(split)} contains the results for {metrics.get('data_dir', 'unknown data')}. Move it, or use "
            "`overwrite`."
        )

"""Exports the best model of a run, and publishes the files once they agree with Keras."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mamsf_keras.config import DEFAULT_FORMATS, OPERATING_POINTS
from mamsf_keras.devices import without_tensorflow
from mamsf_keras.evaluation.calibration import Calibration
from mamsf_keras.evaluation.run_data import open_run_data, with_findings_of
from mamsf_keras.export.formats import FORMATS, selected
from mamsf_keras.export.model_card import describe_run
from mamsf_keras.export.parity import FEWEST_IMAGES, Reference, compare
from mamsf_keras.export.publish import publish, staging, write_documents
from mamsf_keras.export.results import SMALLEST_SPREAD, Exported
from mamsf_keras.export.source import Source, existing_calibration, spread_over, write_images
from mamsf_keras.export.task import REFERENCE, Task
from mamsf_keras.model.mamsf import MAMSFNet
from mamsf_keras.predictors.keras_model import KerasPredictor
from mamsf_keras.run_dir import RunDir
from mamsf_keras.settings import require, require_choice

REPRESENTATIVE_IMAGES = 200
"""Number of training images on which int8 measures the ranges of the activations."""

logger = logging.getLogger(__name__)


@without_tensorflow()
def export_run(
    run_dir: str | Path,
    out: str | Path = "saved_models/mamsf",
    formats: Sequence[str] = DEFAULT_FORMATS,
    data_dir: str | Path | None = None,
    allow_missing: int | str | None = None,
    *,
    quantize: Sequence[str] = ("none",),
    operating_point: str = "youden",
) -> dict[str, Exported]:
    """Exports `best.keras` of a run, with a model card, and compares each export with Keras.

    The exports get the VERSION after the highest existing one: `OUT/VERSION/` (SavedModel), `OUT/NAME-VERSION.tflite`,
    `.onnx`, and `OUT/NAME-VERSION-keras/`. Each is written in a separate process under a temporary name, loaded again,
    compared on the whole validation split, and renamed if all of them agree with Keras. A server that polls OUT never
    sees an incomplete version. `NAME-VERSION.parity.json` contains the comparison.

    Args:
        run_dir: the folder of a run.
        out: folder of the model; its name is NAME.
        formats: any of "saved-model", "tflite", "onnx" and "keras".
        data_dir: the data folder for the comparison; None uses that of the run.
        allow_missing: how many missing images may be left out, as a number or a percentage; None uses that of the run.
        quantize: ways to store TFLite: any of "none", "float16", "dynamic" and "int8", one file each.
        operating_point: thresholds of the output `positive`: "youden", "sensitivity_90" or "f1".

    Returns:
        For each format its path, the comparison, size and latency.

    Raises:
        ValueError: if an export exceeds the limits of its format. In this case no files are left behind.
    """
    names = selected(formats, quantize)
    require_choice(operating_point, "operating_point", OPERATING_POINTS)
    run = RunDir.open(run_dir)
    predictor = KerasPredictor(run.best_model())
    with staging(out) as folder:
        dataset = with_findings_of(predictor, open_run_data(run.config, data_dir, allow_missing))
        validation, size = dataset.split("validation"), predictor.image_size or run.config.image_size
        images = representative = write_images(folder.work / "images.npy", validation, size)
        if "tflite-int8" in names:
            training = spread_over(dataset.split("train"), REPRESENTATIVE_IMAGES)
            representative = write_images(folder.work / "representative.npy", training, size)
        calibration = existing_calibration(run)
        source = Source(
            model=run.best_model(),
            images=images,
            representative=representative,
            findings=predictor.findings,
            labels=validation.labels,
            calibration=calibration,
            operating_point=operating_point,
            card=describe_run(run, calibration, operating_point),
        )
        return _export(source, folder, names)


def export_model(
    model: MAMSFNet,
    images: np.ndarray,
    out: str | Path,
    formats: Sequence[str] = DEFAULT_FORMATS,
    *,
    labels: np.ndarray | None = None,
    calibration: Calibration | None = None,
    quantize: Sequence[str] = ("none",),
    operating_point: str = "youden",
) -> dict[str, Exported]:
    """Exports a float32 model, without a model card, and compares it on images. See `export_run`.

    Args:
        model: a float32 model with sigmoid output.
        images: uint8 `(images, height, width, 1)`.
        out: folder of the model.
        formats: see `export_run`.
        labels: labels of the images, `(images, findings)`. Without them, no AUROC is compared.
        calibration: calibration of the model. Without one, the outputs `calibrated` and `positive` are left out.
        quantize: see `export_run`.
        operating_point: see `export_run`.

    Raises:
        ValueError: see `export_run`; also if the model returns logits or does not compute in float32.
    """
    names = selected(formats, quantize)
    require_choice(operating_point, "operating_point", OPERATING_POINTS)
    activation = model.classifier_activation
    require(activation == "sigmoid", "model", "have the classifier_activation sigmoid", activation)
    types = {layer.compute_dtype for block in model.backbone for layer in block.layers}
    require(types == {"float32"}, "model", "compute in float32; `best.keras` of a run does", ", ".join(types))
    labels = np.full((len(images), len(model.findings)), np.nan) if labels is None else labels
    with staging(out) as folder:
        model_file, images_file = folder.work / "model.keras", folder.work / "images.npy"
        model.save(model_file)
        np.save(images_file, images)
        source = Source(
            model=model_file,
            images=images_file,
            representative=images_file,
            findings=model.findings,
            labels=labels,
            calibration=calibration,
            operating_point=operating_point,
        )
        return _export(source, folder, names)


def _export(source, folder, names) -> dict[str, Exported]:
    """Writes, compares and publishes."""
    if len(source.labels) < FEWEST_IMAGES:
        few = "the exports are compared on only %d images; at least %d are recommended"
        logger.warning(few, len(source.labels), FEWEST_IMAGES)
    tasks = _tasks(source, folder, [REFERENCE, *names])
    truth, keras = _run(tasks.pop(REFERENCE), len(source.labels))
    reference = Reference(source.findings, truth["logits"].astype(float), source.labels, source.platt)
    exported = {}
    for name, task in tasks.items():
        outputs, measured = _run(task, len(source.labels))
        parity = compare(reference, outputs, FORMATS[name].limits)
        logger.info("  %s", parity)
        exported[name] = Exported(folder.path_of(name), parity, measured["size_bytes"], measured["latency_ms"])
    _check(exported)
    write_documents(folder, source, exported, keras)
    return publish(folder, exported)


def _tasks(source, folder, names) -> dict[str, Task]:
    calibration = source.calibration and folder.work / "calibration.json"
    if calibration:
        source.calibration.save(calibration)
    return {
        name: Task(
            name=name,
            model=str(Path(source.model).resolve()),
            path=str(folder.path_of(name)),
            images=str(source.images),
            representative=str(source.representative),
            calibration=calibration and str(calibration),
            operating_point=source.operating_point,
            work=str(folder.work),
        )
        for name in names
    }


def _run(task, count):
    if task.name == REFERENCE:
        logger.info("predicting %d images with Keras", count)
    else:
        logger.info("writing %s, loading it and comparing it with Keras on %d images", task.name, count)
    return task.run()


def _check(exported):
    """Raises `ValueError` if an export exceeds its limits, and warns about a model whose outputs hardly vary."""
    found = [f"{name}: {text}" for name, result in exported.items() for text in result.parity.violations()]
    if found:
        raise ValueError(f"An export differs too much from Keras, so nothing was published. {'; '.join(found)}.")
    parity = next(iter(exported.values())).parity
    if parity.barely_distinguished:
        logger.warning(
            "the model barely distinguishes these images (interquartile range of the logit below %g) for %s: agreement "
            "with Keras says little there",
            SMALLEST_SPREAD,
            ", ".join(parity.barely_distinguished),
        )
    if parity.undefined:
        logger.info("no AUROC to compare, because the images contain only one class: %s", ", ".join(parity.undefined))

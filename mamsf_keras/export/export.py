"""Exports the best model of a run, and publishes the files once they agree with Keras."""

import contextlib
import itertools
import logging
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from mamsf_keras.config import FORMATS
from mamsf_keras.data.batches.stream import Stream
from mamsf_keras.evaluation.evaluate import best_model, open_run_data, with_findings_of
from mamsf_keras.export.formats import FORMATS as REGISTRY
from mamsf_keras.export.parity import MAX_DIFFERENCE, Parity, compare
from mamsf_keras.model.mamsf import MAMSFNet
from mamsf_keras.predictors.keras_model import KerasPredictor
from mamsf_keras.predictors.predictor import Predictor
from mamsf_keras.run_dir import RunDir
from mamsf_keras.storage import scratch_folder

PARITY_IMAGES = 64
PARITY_BATCHES = (1, 7, 32)
logger = logging.getLogger(__name__)


def export_run(
    run_dir: str | Path,
    out: str | Path = "saved_models/mamsf",
    formats: Sequence[str] = FORMATS,
    data_dir: str | Path | None = None,
    allow_missing: int | str | None = None,
) -> dict[str, tuple[Path, Parity]]:
    """Exports `best.keras` of a run for TensorFlow Serving and for phones.

    SavedModels go to `OUT/VERSION/`, TFLite to `OUT/NAME-VERSION.tflite`, VERSION being the next free integer. Each is
    written under another name, loaded again, compared with Keras on validation images in batches of several sizes, and
    renamed if it agrees. A server that polls OUT never sees half a version.

    Args:
        run_dir: the folder of a run.
        out: folder of the model; its name is NAME.
        formats: any of "saved-model" and "tflite".
        data_dir: the data folder for the comparison; None takes that of the run.
        allow_missing: how many absent images may be left out, as a number or a share; None takes that of the run.

    Returns:
        For each format its path and how it compares with Keras.

    Raises:
        ValueError: if Keras runs on another backend than TensorFlow, or an export differs from Keras by more than
            1e-4 or by more than 1 % of the spread of the outputs over the images. Nothing is left behind then.
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(f"Export needs Keras on TensorFlow. Received: {keras.backend.backend()}.")
    if Path(out).exists() and not Path(out).is_dir():
        raise NotADirectoryError(f"{out} is a file: name a folder with `out`.")
    run = RunDir.open(run_dir)
    predictor = best_model(run)
    dataset = with_findings_of(predictor, open_run_data(run.config, data_dir, allow_missing).split("validation"))
    count = min(PARITY_IMAGES, len(dataset.table))
    stream = Stream(dataset, predictor.image_size or run.config.image_size, count)
    return export_model(predictor.model, stream.images_in_order(0), out, formats)


def export_model(
    model: MAMSFNet, images: np.ndarray, out: str | Path, formats: Sequence[str] = FORMATS
) -> dict[str, tuple[Path, Parity]]:
    """Exports a model with sigmoid output and compares it on uint8 `images`. See `export_run`."""
    if isinstance(formats, str) or not set(formats) <= set(FORMATS):
        raise ValueError(f"`formats` must be a list of {', '.join(FORMATS)}. Received: {formats!r}.")
    from mamsf_keras.export.formats.saved_model import ServingModule

    out = Path(out).resolve()
    module = ServingModule(model)
    truth = KerasPredictor(model).predict(images)
    with _temporary_folder(out) as folder:
        parity, finished = {}, {}
        for name in formats:
            logger.info("writing the %s, loading it and comparing it on %d images", name, len(images))
            write, predictor = REGISTRY[name].load()
            finished[name] = folder / name
            write(module, finished[name])
            parity[name] = check_parity(name, truth, predictor(finished[name]), images)
        paths = _publish(finished, out)
    return {name: (paths[name], parity[name]) for name in formats}


def check_parity(name: str, truth: np.ndarray, predictor: Predictor, images: np.ndarray) -> Parity:
    """Compares an export with the probabilities of Keras, in batches of several sizes, as a server would get them.

    Raises:
        ValueError: if it differs too much; `name` names the export.
    """
    parity = compare(truth, np.concatenate([predictor.predict(batch) for batch in _batches(images)]))
    if not parity.passes:
        message = f"The {name} export differs too much and is not published: {parity}."
        if parity.difference <= MAX_DIFFERENCE:
            message += " The model itself hardly tells the images apart: train it further."
        raise ValueError(message)
    return parity


def _batches(images):
    start = 0
    for size in itertools.cycle(PARITY_BATCHES):
        if start >= len(images):
            return
        yield images[start : start + size]
        start += size


@contextlib.contextmanager
def _temporary_folder(out):
    """Makes a folder inside `out`, on the same file system, and removes it afterwards, with `out` if that is empty."""
    made = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    try:
        with scratch_folder(out, ".export-") as folder:
            yield folder
    finally:
        if made and not any(out.iterdir()):
            out.rmdir()


def _publish(finished, out) -> dict[str, Path]:
    """Renames finished exports to the next free version and returns their paths."""
    taken = [int(path.name) for path in out.iterdir() if path.name.isdecimal()]
    numbers = [path.stem.removeprefix(f"{out.name}-") for path in out.iterdir() if path.suffix == ".tflite"]
    version = max([0, *taken, *(int(number) for number in numbers if number.isdecimal())]) + 1
    paths = {name: out / REGISTRY[name].file_name(out.name, version) for name in finished}
    for name, path in paths.items():
        finished[name].rename(path)
    return paths

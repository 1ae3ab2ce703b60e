"""Exports the best model of a run and publishes the files once they agree with Keras."""

import contextlib
import itertools
import shutil
import tempfile
from pathlib import Path

import keras
import numpy as np

from mamsf_keras.config import FORMATS, run_config
from mamsf_keras.evaluation.evaluate import best_model, evaluation_stream
from mamsf_keras.export.parity import LARGEST_DIFFERENCE, Parity, compare

PARITY_IMAGES = 64
PARITY_BATCHES = (1, 7, 32)


def export_run(
    run_dir, out="saved_models/mamsf", formats=FORMATS, data_dir=None, allow_missing=False
) -> dict[str, tuple[Path, Parity]]:
    """Exports `best.keras` of a run for TensorFlow Serving and for phones.

    SavedModels go to `OUT/VERSION/`, TFLite to `OUT/NAME-VERSION.tflite`, VERSION the next free integer. Each is
    written under another name, reloaded, compared with Keras on validation images in batches of several sizes, and
    renamed when it agrees; a server that polls OUT never sees half a version.

    Args:
        run_dir: the folder of a run.
        out: folder of the model; its name is NAME.
        formats: of "saved-model" and "tflite".
        data_dir: the data folder for the comparison; None takes the run's.
        allow_missing: go on without the images that are not there.

    Returns:
        For each format its path and how it compares with Keras.

    Raises:
        ValueError: if Keras runs on another backend than TensorFlow, or an export differs from Keras by more than
            1e-4 or 1 % of the spread of the outputs over the images; nothing is left then.
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(f"Export needs Keras on TensorFlow. Received: {keras.backend.backend()}.")
    if Path(out).exists() and not Path(out).is_dir():
        raise NotADirectoryError(f"{out} is a file: name a folder with --out.")
    config = run_config(run_dir)
    model = best_model(run_dir)
    stream, _ = evaluation_stream(model, config, data_dir, "validation", allow_missing)
    rows = range(min(PARITY_IMAGES, len(stream.paths)))
    images = np.stack([stream.read(row) for row in rows])[..., None].astype(np.float32)
    return export_model(model, images, out, formats)


def export_model(model, images, out, formats=FORMATS) -> dict[str, tuple[Path, Parity]]:
    """Exports a model with sigmoid output, compared on float32 `images`. See `export_run`."""
    if isinstance(formats, str) or not set(formats) <= set(FORMATS):
        raise ValueError(f"`formats` must be a list of {', '.join(FORMATS)}. Received: {formats!r}.")
    from mamsf_keras.export.saved_model import ServingModule

    out = Path(out).resolve()
    module = ServingModule(model)
    truth = np.asarray(model.predict(images, verbose=0))
    with _temporary_folder(out) as folder:
        parity, whole = {}, {}
        for name in formats:
            print(f"writing the {name}, loading it and comparing it on {len(images)} images", flush=True)
            write, load = _writer_and_loader(name)
            whole[name] = folder / name
            write(module, whole[name])
            parity[name] = compare(truth, _in_batches(load(whole[name]), images))
            if not parity[name].passes:
                message = f"The {name} export is not left there, for it differs too much: {parity[name]}."
                if parity[name].difference <= LARGEST_DIFFERENCE:
                    message += " The model itself hardly tells the images apart: train it further."
                raise ValueError(message)
        paths = _publish(whole, out)
    return {name: (paths[name], parity[name]) for name in formats}


def _writer_and_loader(name):
    """Imports the two functions of a format; LiteRT is needed for `tflite` alone."""
    if name == "saved-model":
        from mamsf_keras.export import saved_model

        return saved_model.write_saved_model, saved_model.load_saved_model
    from mamsf_keras.export import tflite

    return tflite.write_tflite, tflite.load_tflite


def _in_batches(run, images):
    """Runs the images in batches of several sizes, since a server's batches have any."""
    outputs, start = [], 0
    for size in itertools.cycle(PARITY_BATCHES):
        if start >= len(images):
            return np.concatenate(outputs)
        outputs.append(run(images[start : start + size]))
        start += size


@contextlib.contextmanager
def _temporary_folder(out):
    """Makes a folder inside `out`, on the same file system, that is gone afterwards, as is `out` if it stays empty."""
    made = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".export-", dir=out))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
        if made and not any(out.iterdir()):
            out.rmdir()


def _publish(whole, out) -> dict[str, Path]:
    """Renames whole exports to the next free version and returns their paths."""
    taken = [int(path.name) for path in out.iterdir() if path.name.isdecimal()]
    numbers = [path.stem.removeprefix(f"{out.name}-") for path in out.iterdir() if path.suffix == ".tflite"]
    version = max([0, *taken, *(int(number) for number in numbers if number.isdecimal())]) + 1
    paths = {name: out / (str(version) if name == "saved-model" else f"{out.name}-{version}.tflite") for name in whole}
    for name, path in paths.items():
        whole[name].rename(path)
    return paths

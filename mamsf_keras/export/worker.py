"""The process of a `Task`: writes one format, loads it, and predicts images with it."""

import json
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mamsf_keras.export.task import ERRORS, OUTPUTS, REFERENCE, RESULT, TASK, Task

FIRST_BATCHES = (1, 7)
"""Sizes of the first batches, as a server would get them."""
BATCH = 32
LATENCY_BATCHES = (1, 16)
LATENCY_RUNS, LATENCY_SECONDS = 100, 5.0
"""Maximum number of timings of a batch, and their maximum total time."""


class Collector(logging.Handler):
    """Keeps the name of the logger, the level and the text of each record of level WARNING and above."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[tuple[str, int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps one record."""
        self.records.append((record.name, record.levelno, record.getMessage()))


def main(folder: str) -> None:
    """Runs in the new process: reads a task from a folder and writes its outputs and its result, or the error."""
    task = Task(**json.loads(Path(folder, TASK).read_text(encoding="utf-8")))
    collector = Collector()
    logging.getLogger("mamsf_keras").addHandler(collector)
    try:
        outputs, result = _perform(task)
        np.savez(Path(folder, OUTPUTS), **outputs)
    except tuple(ERRORS.values()) as error:
        kind = next(name for name, kind in ERRORS.items() if isinstance(error, kind))
        result = {"error": {"type": kind, "message": str(error)}}
    content = json.dumps({**result, "log": collector.records})
    Path(folder, RESULT).write_text(content, encoding="utf-8")


def _perform(task):
    images = np.load(task.images, mmap_mode="r")
    predict, size = _reference(task.model) if task.name == REFERENCE else _written(task, images)
    outputs = [predict(batch) for batch in _progress(task.name, images)]
    joined = {name: np.concatenate([batch[name] for batch in outputs]) for name in outputs[0]}
    latency = {str(batch): _latency(predict, images, batch) for batch in LATENCY_BATCHES}
    return joined, {"size_bytes": size, "latency_ms": latency}


def _reference(model):
    """Returns the function of a Keras model from images to logits, and the size of its file or folder."""
    from mamsf_keras.predictors.keras_model import KerasPredictor

    predictor = KerasPredictor(model)
    return lambda images: {"logits": predictor.logits(images)}, size_of(model)


def _written(task, images):
    """Writes one format, and returns the function from images to its outputs and its size."""
    from mamsf_keras.evaluation.calibration import Calibration
    from mamsf_keras.export.formats import FORMATS
    from mamsf_keras.export.serving_module import ServingModule
    from mamsf_keras.model.mamsf import load_model

    model = load_model(task.model)
    calibration = Calibration.load(task.calibration) if task.calibration else None
    module = ServingModule(model, calibration, task.operating_point, images.shape[1])
    write, predictor = FORMATS[task.name].load()
    write(module, task.path, images=np.load(task.representative, mmap_mode="r"), **FORMATS[task.name].options)
    loaded = predictor(task.path)
    if tuple(loaded.findings) != tuple(model.findings):
        raise ValueError(f"the file has the findings {loaded.findings} instead of {model.findings}.")
    return _reference(task.path) if task.name == "keras" else (loaded.outputs, size_of(task.path))


def size_of(path: str | Path) -> int:
    """Returns the bytes of a file, or of all files in a folder."""
    path = Path(path)
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _progress(name, images) -> Iterator[np.ndarray]:
    """Yields every image once, in batches of several sizes, and shows the progress in the terminal of the parent."""
    from tqdm import tqdm

    starts = [0, *np.cumsum(FIRST_BATCHES).tolist()]
    starts += range(starts[-1] + BATCH, len(images), BATCH)
    batches = np.split(images, [start for start in starts[1:] if start < len(images)])
    with tqdm(total=len(images), desc=f"checking {name}", unit=" images", delay=1, file=sys.stdout) as bar:
        for batch in batches:
            yield np.asarray(batch)
            bar.update(len(batch))


def _latency(predict, images, batch) -> dict[str, float]:
    """Times one batch size, in milliseconds."""
    pixels = np.asarray(images[np.arange(batch) % len(images)])
    times: list[float] = []
    predict(pixels)
    end = time.perf_counter() + LATENCY_SECONDS
    while len(times) < LATENCY_RUNS and (len(times) < 10 or time.perf_counter() < end):
        start = time.perf_counter()
        predict(pixels)
        times.append(1000 * (time.perf_counter() - start))
    return {"median": float(np.median(times)), "p99": float(np.quantile(times, 0.99)), "runs": len(times)}


def end_with_parent() -> None:
    """Waits until the parent closes its end of standard input, as it does when it is killed, and ends this process."""
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os._exit(1)


if __name__ == "__main__":
    threading.Thread(target=end_with_parent, daemon=True).start()
    main(sys.argv[1])

"""Predicts image files with a run, an export or a server, and streams the results to files."""

import collections
import contextlib
import dataclasses
import itertools
import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from mamsf_keras.data.tables import count_and_first
from mamsf_keras.inference.boxes import RadiologistBoxes
from mamsf_keras.inference.inputs import Found, find_inputs
from mamsf_keras.inference.outputs import check_outputs
from mamsf_keras.inference.reading import InputImage, read_batches
from mamsf_keras.inference.records import Record, Write, csv_writer, json_writer, make_records
from mamsf_keras.inference.source import Source, open_source

if TYPE_CHECKING:
    from mamsf_keras.inference.heatmaps import Heatmaps

logger = logging.getLogger(__name__)

KEPT = 20
"""Maximum number of records in the summary."""


@dataclasses.dataclass
class PredictionSummary:
    """The result of `predict`.

    Attributes:
        records: records of the first readable images; docs/predicting.md describes their fields.
        predicted: number of images predicted.
        failed: number of files and folders that could not be read. Each was named in the log.
        operating_point: name of the operating point of the decisions, if they are those of a run.
    """

    records: list[Record]
    predicted: int = 0
    failed: int = 0
    operating_point: str | None = None


def predict(
    images: Iterable[str | Path],
    *,
    run_dir: str | Path | None = None,
    model: str | Path | None = None,
    server: str | None = None,
    json_file: str | Path | None = None,
    csv_file: str | Path | None = None,
    heatmaps: str | Path | None = None,
    findings: Sequence[str] | None = None,
    boxes: str | Path | None = None,
    operating_point: str | None = None,
    image_size: int | None = None,
    batch_size: int = 32,
    overwrite: bool = False,
) -> PredictionSummary:
    """Predicts images with a run, an export or a server.

    The memory use does not depend on the number of images. A file that cannot be read is logged, and the others are
    predicted.

    ```python
    predict(["images"], run_dir="runs/demo", json_file="predictions.json").records[0]["findings"]["Mass"]
    ```

    Args:
        images: image files (PNG, JPEG, DICOM), and folders, which are searched at any depth by content.
        run_dir: folder of a run.
        model: an export: the folder of a version of a SavedModel, a `.tflite`, `.onnx` or `.keras` file, or the folder
            of an export in Keras format.
        server: `grpc://HOST:PORT` or `http://HOST:PORT`; see `ServerPredictor`.
        json_file: file to write with all results.
        csv_file: file to write with one row per readable image, for `evaluate_file` too.
        heatmaps: folder for a panel per image, outside the folders of the images; needs `run_dir`, or a `.keras` file.
        findings: what the panels show; None shows the most probable findings of each image.
        boxes: table of radiologists' boxes; None looks for `BBox_List_2017.csv` near the images.
        operating_point: "youden", "sensitivity_90" or "f1", for a run; "youden" by default.
        image_size: height and width in pixels, for a model that accepts any.
        batch_size: images per call of the model.
        overwrite: whether to replace files, and panels in the folder.

    Raises:
        FileExistsError: if a file to write exists, or the folder for the panels has files.
        FileNotFoundError: if there is no such run or export, or there are no images.
        ValueError: if options do not fit together, or none of the images can be read.
        ConnectionError: if the server cannot be reached. In this case no files are written.
    """
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1. Received: batch_size={batch_size}.")
    files = {"json_file": json_file, "csv_file": csv_file}
    images = list(images)
    check_outputs(files, heatmaps, images, overwrite)
    if heatmaps is None and (findings or boxes):
        raise ValueError("`findings` and `boxes` need `heatmaps`.")
    found = find_images(images)
    source = open_source(run_dir, model, server, operating_point=operating_point, image_size=image_size)
    panels = None if heatmaps is None else _open_panels(heatmaps, source, found.paths, boxes, findings)
    summary = PredictionSummary([], operating_point=source.operating_point)
    with _writers(files, source) as writers:
        for record in itertools.chain(
            predict_records(found.paths, source, batch_size, panels), map(_folder_record, found.unreadable)
        ):
            _count(record, summary)
            for write in writers:
                write(record)
        if not summary.predicted:  # inside the block, so that no file is written
            raise ValueError("None of the images could be read, so nothing is written. See the messages above.")
    return summary


def _open_panels(folder, source, paths, boxes, findings) -> "Heatmaps":
    from mamsf_keras.inference.heatmaps import Heatmaps  # imports Keras, which servers and LiteRT do not need

    return Heatmaps(folder, source, RadiologistBoxes(paths, boxes), findings)


def find_images(images: Iterable[str | Path]) -> Found:
    """Finds the images and logs which files are left out. Raises `FileNotFoundError` if there are none."""
    found = find_inputs(images)
    if found.skipped:
        logger.info("files that are not images, left out: %s", count_and_first(found.skipped))
    if not found.paths:
        reasons = "".join(f" {folder} cannot be listed: {reason}." for folder, reason in found.unreadable)
        raise FileNotFoundError(f"There are no PNG, JPEG or DICOM files to predict.{reasons}")
    return found


def predict_records(
    paths: Sequence[Path], source: Source, batch_size: int, panels: "Heatmaps | None" = None
) -> Iterator[Record]:
    """Yields the record of each image, in order, and shows the progress. Images are read while others are predicted."""
    batch_size = min(batch_size, len(paths))
    batches = read_batches(paths, source.image_size, batch_size, keep_originals=panels is not None)
    notes: collections.Counter = collections.Counter()
    with contextlib.closing(batches), tqdm(total=len(paths), desc="predicting", unit=" images", delay=1) as bar:
        for images in batches:
            yield from _predict_batch(images, source, batch_size, panels)
            bar.update(len(images))
            notes.update(image.note for image in images if image.note)
    for note, count in notes.items():
        logger.info("%d %s", count, note)


def _predict_batch(images: list[InputImage], source, batch_size, panels) -> list[Record]:
    readable = [image for image in images if not image.error]
    if not readable:
        return make_records(images, source, None)
    pixels = np.stack([image.pixels for image in readable if image.pixels is not None])
    records = make_records(images, source, source.score(pixels, batch_size))
    if panels:
        panels.add(readable, pixels, [record for record in records if "error" not in record])
    return records


@contextlib.contextmanager
def _writers(files, source) -> Iterator[list[Write]]:
    """Yields the functions that write a record to each file. The files appear when the block ends without an error."""
    kinds = {"json_file": json_writer, "csv_file": csv_writer}
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(kinds[name](file, source)) for name, file in files.items() if file is not None]


def _folder_record(unreadable) -> Record:
    folder, reason = unreadable
    return {"image": str(folder), "error": f"{folder} cannot be listed: {reason}"}


def _count(record, summary):
    """Counts a record, keeps it if it is among the first, and logs its error or warning."""
    if "error" in record:
        summary.failed += 1
        logger.warning("%s", record["error"])
        return
    summary.predicted += 1
    if len(summary.records) < KEPT:
        summary.records.append(record)
    if "warning" in record:
        logger.warning("%s: %s", record["image"], record["warning"])

"""The cache: every image decoded once, resized, as uint8 grey `.npy` shards that batches are gathered from.

    CACHE/
      plan.json          what it is made for: image size, interpolation, findings, checksums of table and source files
      shards/00000.npy   uint8 (images, size, size), in the table's order; beside it 00000.csv: what became of each
      index.csv          the studies table with `shard`, `row` and `sha256` of the pixels, blank where there is no image
      rejected.csv       the images that could not be read, with the reason; there only if there are such
      meta.json          the plan, the counts and the checksum of each shard; written last

A folder without `meta.json` is unfinished, and `prepare` goes on where it was. No file holds a clock time, so equal
images and tables make equal bytes.
"""

import contextlib
import functools
import hashlib
import json
import os
from pathlib import Path

import filelock
import numpy as np
import pandas as pd

from mamsf_keras.config import write_json
from mamsf_keras.data.chestxray14 import LISTS, TABLES, Studies, find_images, read_tables
from mamsf_keras.data.image import read_grey, resize
from mamsf_keras.data.processes import in_processes
from mamsf_keras.files import PART, whole_file

SHARD_IMAGES = 256
INTERPOLATION = "triangle, antialiased"
WRITTEN = {"plan.json", "shards", "index.csv", "rejected.csv", "meta.json", ".lock"}


def prepare(
    data_dir, cache_dir, image_size=224, workers=None, allow_missing=False, allow_rejected=0, progress=None
) -> dict:
    """Makes a cache of an NIH folder, or goes on with one that was left unfinished.

    Args:
        data_dir: the NIH folder.
        cache_dir: the folder to write: new, empty, or a cache of the same images, tables and size.
        image_size: height and width in pixels.
        workers: processes; None takes one a processor.
        allow_missing: go on without the images that are not there.
        allow_rejected: images that may be unreadable; they are left out.
        progress: called with the number of images done since the last call, and that of all images.

    Returns:
        What `meta.json` holds.

    Raises:
        ValueError: if the folder holds something else or a cache of another plan (says what differs), or if more images
            are unreadable than allowed (names `rejected.csv`); the next call tries these again.
        BlockingIOError: if another process works on this cache.
    """
    tables = read_tables(data_dir)
    found = find_images(tables, data_dir, allow_missing)
    plan = _plan(found, Path(data_dir), image_size)
    cache_dir = Path(cache_dir)
    if cache_dir.exists() and {p.name for p in cache_dir.iterdir() if not p.name.startswith(PART)} - WRITTEN:
        raise ValueError(f"{cache_dir} holds other things than a cache: it is left alone. Name a new folder.")
    (cache_dir / "shards").mkdir(parents=True, exist_ok=True)
    with _alone(cache_dir):
        _check_plan(cache_dir, plan)
        tasks = [
            (found.table["path"].iloc[first : first + SHARD_IMAGES].tolist(), _shard(cache_dir, number), image_size)
            for number, first in enumerate(range(0, len(found.table), SHARD_IMAGES))
        ]
        _work(tasks, workers, progress)
        return _finish(cache_dir, tables.table, found.table["image"], plan, allow_rejected)


def is_cache(folder) -> bool:
    """Tells whether a folder is a finished cache."""
    return (Path(folder) / "meta.json").is_file() and (Path(folder) / "index.csv").is_file()


def read_cache(cache_dir) -> Studies:
    """Reads the studies of a cache; it needs no original image.

    Returns:
        `Studies` whose table has every image of the source tables, with `path` (the shard) and `row` (in it), missing
        where there is no image.
    """
    cache_dir = Path(cache_dir)
    meta = json.loads((cache_dir / "meta.json").read_text(encoding="utf-8"))
    texts = dict.fromkeys(("image", "patient", "sex", "view", "official_part", "shard", "sha256"), str)
    findings = meta["findings"]
    options = {"dtype": {**texts, **dict.fromkeys(findings, "int8")}, "keep_default_na": False}
    table = pd.read_csv(
        cache_dir / "index.csv", na_values=dict.fromkeys(("age", "follow_up", "row", "shard"), ""), **options
    )
    table["path"] = str(cache_dir / "shards") + os.sep + table["shard"]
    size = meta["image_size"]
    note = f"{meta['images']} images of {size} x {size} pixels from the cache {cache_dir}"
    return Studies(table.drop(columns=["shard", "sha256"]), tuple(findings), (note,))


@functools.cache
def open_shard(path, image_size: int) -> np.ndarray:
    """Maps a shard into memory: uint8 `(images, size, size)`, read only.

    Raises:
        ValueError: if its images have another size.
    """
    pixels = np.load(path, mmap_mode="r")
    if pixels.shape[1:] != (image_size, image_size):
        raise ValueError(
            f"The cache of {path} has images of {pixels.shape[1]} pixels, not {image_size}: prepare another."
        )
    return pixels.view(np.ndarray)  # a plain array is much quicker to index than a memory map


def _plan(found, data_dir, image_size) -> dict:
    content = found.table.drop(columns="path").to_csv(index=False, lineterminator="\n").encode()
    files = [data_dir / name for name in (*TABLES, *LISTS.values()) if (data_dir / name).is_file()]
    return {
        "format": 1,
        "image_size": image_size,
        "interpolation": INTERPOLATION,
        "findings": list(found.findings),
        "table_sha256": hashlib.sha256(content).hexdigest(),
        "sources": {file.name: _checksum(file) for file in files},
    }


def _check_plan(cache_dir, plan):
    """Refuses a cache that was made for something else."""
    path = cache_dir / "plan.json"
    if not path.exists():
        write_json(path, plan)
        return
    made = json.loads(path.read_text(encoding="utf-8"))
    different = [
        f"{name} ({made.get(name)} there, {plan[name]} asked)" for name in plan if made.get(name) != plan[name]
    ]
    if different:
        raise ValueError(f"{cache_dir} was made for something else: {'; '.join(different)}. Name a new folder.")


@contextlib.contextmanager
def _alone(cache_dir):
    """Holds the folder's lock, which the system takes back even from a killed process."""
    lock = filelock.FileLock(cache_dir / ".lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise BlockingIOError(f"Another process is working on {cache_dir}.") from None
    try:
        yield
    finally:
        lock.release()


def _shard(cache_dir, number) -> Path:
    return cache_dir / "shards" / f"{number:05d}.npy"


def _work(tasks, workers, progress):
    """Makes the shards that are not there yet or have rejected images."""
    total = sum(len(paths) for paths, *_ in tasks)
    todo = [task for task in tasks if not _is_done(task[1])]
    progress = progress or (lambda done, total: None)
    progress(total - sum(len(paths) for paths, *_ in todo), total)
    in_processes(_make_shard, todo, workers, done=lambda count: progress(count, total))


def _is_done(shard) -> bool:
    record = shard.with_suffix(".csv")
    return record.exists() and pd.read_csv(record)["error"].isna().all()


def _make_shard(task) -> int:
    paths, shard, size = task
    pixels = np.zeros((len(paths), size, size), np.uint8)
    records = []
    for row, path in enumerate(paths):
        try:
            grey = read_grey(path)
        except ValueError as error:
            records.append(("", str(error)))
            continue
        pixels[row] = resize(grey, size)
        records.append((pixel_hash(grey), ""))
    with whole_file(shard) as temporary:
        np.save(temporary, pixels)
    _write_csv(shard.with_suffix(".csv"), pd.DataFrame(records, columns=["sha256", "error"]))
    return len(paths)


def pixel_hash(grey: np.ndarray) -> str:
    """Returns the SHA-256 of an image's pixels and shape: equal for equal pictures in whatever file."""
    return hashlib.sha256(repr(grey.shape).encode() + grey.tobytes()).hexdigest()


def _finish(cache_dir, table, images, plan, allow_rejected) -> dict:
    """Writes the index, the rejected images and `meta.json`."""
    shards = sorted((cache_dir / "shards").glob("*.npy"))
    records = pd.concat([pd.read_csv(shard.with_suffix(".csv"), dtype=str) for shard in shards], ignore_index=True)
    places = records.index.to_numpy()
    records = records.assign(
        image=images.to_numpy(),
        shard=[f"{number:05d}.npy" for number in places // SHARD_IMAGES],
        row=pd.array(places % SHARD_IMAGES, dtype="Int64"),
    )
    rejected, kept = records[records["error"].notna()], records[records["error"].isna()]
    index = table.merge(kept[["image", "shard", "row", "sha256"]], on="image", how="left", validate="one_to_one")
    _write_csv(cache_dir / "index.csv", index)
    (cache_dir / "rejected.csv").unlink(missing_ok=True)
    if len(rejected):
        _write_csv(cache_dir / "rejected.csv", rejected[["image", "error"]])
    if len(rejected) > allow_rejected:
        raise ValueError(
            f"{len(rejected)} of {len(images)} images cannot be read (first: {rejected['error'].iloc[0]}); "
            f"{cache_dir}/rejected.csv has them all. Mend them and run again, or leave them out with --allow-rejected."
        )
    checksums = {shard.name: _checksum(shard) for shard in shards}
    meta = {**plan, "images": len(kept), "rejected": len(rejected), "shards": checksums}
    write_json(cache_dir / "meta.json", meta)
    return meta


def _write_csv(path, frame):
    with whole_file(path) as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n")


def _checksum(path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

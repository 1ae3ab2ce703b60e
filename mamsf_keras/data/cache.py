"""The cache: every image decoded once, resized, as uint8 grey `.npy` shards that batches are gathered from.

    CACHE/
      plan.json          what it is made for: image size, interpolation, number of files, findings, checksums of tables
      shards/00000.npy   uint8 (images, size, size), in the table's order; beside it 00000.csv: what became of each
      index.csv          the studies table with `shard`, `row`, `sha256` of the pixels, `height` and `width` of
                         the original, blank where there is no image
      rejected.csv       the images that could not be read, with the reason; there only if there are such
      meta.json          the plan, the counts, notes, and the checksums of tables and shards; written last

A cache without `meta.json` is unfinished, and `prepare` goes on where it was. A shard is made again if its images
changed, by their size in bytes, or if more of them were rejected than are allowed. No file holds a clock time, so equal
images and tables make equal bytes.
"""

import hashlib
import importlib.util
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd

from mamsf_keras.config import LABEL_OPTIONS, DataConfig
from mamsf_keras.data.tables import Studies

FORMAT = 4
"""Counts up when the layout changes."""
TABLES = ("index.csv", "rejected.csv")


def default_cache_dir(data: DataConfig, image_size: int) -> Path:
    """Names the cache of a data folder below the user's cache folder: `XDG_CACHE_HOME`, or else `~/.cache`."""
    source = repr([FORMAT, data.data_dir, data.labels_csv, *(getattr(data, name) for name in LABEL_OPTIONS)])
    name = f"{Path(data.data_dir).name}-{hashlib.sha256(source.encode()).hexdigest()[:8]}-{image_size}px"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mamsf-keras" / name


def is_cache(folder) -> bool:
    """Tells whether a folder is a cache, finished or not."""
    return (Path(folder) / "plan.json").is_file() or is_finished(folder)


def is_finished(cache_dir) -> bool:
    """Tells whether a cache is whole."""
    return (Path(cache_dir) / "meta.json").is_file()


def read_meta(cache_dir) -> dict:
    """Reads `meta.json`.

    Raises:
        ValueError: if the cache is not finished, or of another version of this software.
    """
    if not is_finished(cache_dir):
        raise ValueError(f"The cache {cache_dir} is not finished: run the same `mamsf-keras prepare` again.")
    meta = _read_json(Path(cache_dir) / "meta.json")
    if meta["format"] != FORMAT:
        raise ValueError(
            f"The cache {cache_dir} has format {meta['format']}, and {FORMAT} is read: remove it, or name a new "
            "folder, and prepare it anew."
        )
    return meta


def read_plan(cache_dir) -> dict:
    """Reads `plan.json`. Raises `ValueError` if it is damaged."""
    return _read_json(Path(cache_dir) / "plan.json")


def _read_json(path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        content["format"]
        return content
    except (ValueError, KeyError, TypeError):
        way_out = "remove it" if path.name == "meta.json" else f"remove {path.parent}"
        raise ValueError(f"{path} is damaged: {way_out} and run `mamsf-keras prepare` again.") from None


def is_whole(cache_dir, tables=TABLES) -> bool:
    """Tells whether these tables of a finished cache are as they were written."""
    checksums = read_meta(cache_dir)["tables"]
    return all(checksum(Path(cache_dir) / name) == checksums[name] for name in tables)


def checksum(path) -> str | None:
    """Returns the SHA-256 of a file, None if there is no such file."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None


def read_cache(cache_dir) -> Studies:
    """Reads the studies of a cache; it needs no original image.

    Returns:
        `Studies` whose table has every image of the source tables, with `path` (the shard) and `row` (in it), missing
        where there is no image, and `sha256` of the image's pixels before they were resized.
    """
    cache_dir = Path(cache_dir)
    meta = read_meta(cache_dir)
    if not is_whole(cache_dir, ["index.csv"]):
        raise ValueError(f"{cache_dir / 'index.csv'} is lost or damaged: run `mamsf-keras prepare` again.")
    table = read_index(cache_dir, meta["findings"])
    table["path"] = str(cache_dir / "shards") + os.sep + table["shard"]
    size = meta["image_size"]
    mebibytes = meta["images"] * size**2 / 2**20
    note = f"{meta['images']} images of {size} x {size} pixels, {mebibytes:.0f} MiB, from the cache {cache_dir}"
    if absent := int(table["row"].isna().sum()):
        note += f"; {absent} of {len(table)} images of the tables, missing or rejected, are not in it and are left out"
    return Studies(table.drop(columns="shard"), tuple(meta["findings"]), (note, *meta["notes"]))


def read_index(cache_dir, findings) -> pd.DataFrame:
    """Reads `index.csv`: labels int8, or float32 with NaN where some are missing."""
    texts = dict.fromkeys(("image", "patient", "sex", "view", "official_part", "shard", "sha256"), str)
    blank = dict.fromkeys(("age", "follow_up", "row", "shard", "sha256", "height", "width", *findings), "")
    options = {"dtype": {**texts, **dict.fromkeys(findings, "float32")}, "keep_default_na": False, "na_values": blank}
    table = pd.read_csv(cache_dir / "index.csv", **options)
    if table[findings].notna().all(axis=None):
        table[findings] = table[findings].astype("int8")
    return table


def check_size(cache_dir, size: int, image_size: int):
    """Refuses a cache whose images have another size than is asked for."""
    if size != image_size:
        raise ValueError(
            f"The cache {cache_dir} has images of {size} pixels, not {image_size}: use it with an image size of {size} "
            f"(--image-size of train and preview), or prepare another with --image-size {image_size}."
        )


def open_shard(path, image_size: int) -> np.ndarray:
    """Maps a shard into memory: uint8 `(images, size, size)`, read only.

    Raises:
        ValueError: if it is damaged, or its images have another size.
    """
    try:
        pixels = np.load(path, mmap_mode="r")
    except (FileNotFoundError, ValueError, EOFError):
        raise ValueError(f"{path} is lost or damaged: run `mamsf-keras prepare` again.") from None
    check_size(Path(path).parents[1], pixels.shape[1], image_size)
    return pixels.view(np.ndarray)  # a plain array is much quicker to index than a memory map


def allow_open_files(count: int):
    """Lets this process hold so many files open beside others: each mapped shard keeps one, and 1,024 is usual."""
    if importlib.util.find_spec("resource") is None:  # Windows has no such limit
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + 1024
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))

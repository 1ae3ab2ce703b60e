"""The files of a cache, in which every image is decoded once, resized and stored as uint8 gray pixels.

    CACHE/
      plan.json          what the cache is made for: image size, number of files, findings, checksum of the table
      shards/00000.npy   uint8 (images, size, size), in the order of the table
      shards/00000.csv   the `Record` of each image: the result of reading it, and the state of its original file
      index.csv          the table of the data set with `shard`, `row`, `sha256` of the pixels, `height` and `width` of
                         the original, blank where there is no image
      rejected.csv       the images that could not be read, with the reason; absent if there are none
      meta.json          the plan, the kind of the data set, the counts, the notes, and the checksums of tables and
                         shards; written last

A cache without `meta.json` is unfinished, and `prepare` resumes it. A shard is rebuilt if one of its original files
changed (in size, or in modification time and checksum), or if a rejected image has become readable. Apart from the
paths and modification times of the originals in the records, equal images and tables give equal bytes.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from mamsf_keras.config import DataConfig
from mamsf_keras.storage import checksum

FORMAT = 6
"""Increases when the layout changes."""
TABLES = ("index.csv", "rejected.csv")
FILES = {"plan.json", "shards", "meta.json", ".lock", *TABLES}
"""All entries of a cache folder."""


def default_cache_dir(data: DataConfig, image_size: int) -> Path:
    """Returns the default cache of a data folder, in the user's cache folder: `XDG_CACHE_HOME`, or else `~/.cache`."""
    source = repr([FORMAT, data.data_dir, data.labels_csv])
    name = f"{Path(data.data_dir).name}-{hashlib.sha256(source.encode()).hexdigest()[:8]}-{image_size}px"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mamsf-keras" / name


def is_finished(cache_dir: str | Path) -> bool:
    """Returns True if a cache is complete."""
    return (Path(cache_dir) / "meta.json").is_file()


def read_meta(cache_dir: str | Path) -> dict:
    """Reads `meta.json`.

    Raises:
        ValueError: if the cache is not finished, or was written by another version of this software.
    """
    if not is_finished(cache_dir):
        raise ValueError(f"The cache {cache_dir} is not finished. Run the same `mamsf-keras prepare` command again.")
    meta = _read_json(Path(cache_dir) / "meta.json")
    if meta["format"] != FORMAT:
        raise ValueError(
            f"The cache {cache_dir} has format {meta['format']}, but this version reads format {FORMAT}. Remove it, or "
            "choose a new folder, and prepare it again."
        )
    return meta


def read_plan(cache_dir: str | Path) -> dict:
    """Reads `plan.json`. Raises `ValueError` if it is damaged."""
    return _read_json(Path(cache_dir) / "plan.json")


def _read_json(path) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        content["format"]
        return content
    except (ValueError, KeyError, TypeError):
        damaged = path if path.name == "meta.json" else path.parent
        raise ValueError(f"{path} is damaged. Remove {damaged} and run `mamsf-keras prepare` again.") from None


def tables_are_intact(cache_dir: str | Path, tables: Iterable[str] = TABLES) -> bool:
    """Returns True if these tables of a finished cache are unchanged since they were written."""
    checksums = read_meta(cache_dir)["tables"]
    return all(checksum(Path(cache_dir) / name) == checksums[name] for name in tables)


def read_index(cache_dir: str | Path, findings: list[str]) -> pd.DataFrame:
    """Reads `index.csv`. Labels are int8, or float32 with NaN where some are missing."""
    texts = dict.fromkeys(("image", "patient", "sex", "view", "official_list", "shard", "sha256"), str)
    blank = dict.fromkeys(("follow_up", "row", "shard", "sha256", "height", "width", *findings), "")
    types = {**texts, **dict.fromkeys(findings, "float32")}
    options: dict[str, Any] = {"dtype": types, "keep_default_na": False, "na_values": blank}
    options["converters"] = {"age": lambda text: float(text or "nan")}  # pandas is off by one bit for ages in days
    table = pd.read_csv(Path(cache_dir) / "index.csv", **options)
    if table[findings].notna().all(axis=None):
        table[findings] = table[findings].astype("int8")
    return table

"""Makes a cache; its layout and how it is read stand in `cache.py`."""

import contextlib
import hashlib
import shlex
import shutil
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from mamsf_keras.config import LABEL_OPTIONS, DataConfig, write_json
from mamsf_keras.data.cache import (
    FORMAT,
    TABLES,
    checksum,
    is_cache,
    is_finished,
    is_whole,
    read_index,
    read_meta,
    read_plan,
)
from mamsf_keras.data.image import read_with_note
from mamsf_keras.data.processes import in_processes
from mamsf_keras.data.shard import PIXEL_COLUMNS, is_done, make_shard, record_path
from mamsf_keras.data.source import find_images, read_tables, source_files
from mamsf_keras.data.tables import count_and_first
from mamsf_keras.files import PART, one_process, whole_file

SHARD_IMAGES = 256
INTERPOLATION = "triangle, antialiased"
WRITTEN = {"plan.json", "shards", "index.csv", "rejected.csv", "meta.json", ".lock"}


def prepare(
    data: DataConfig, cache_dir, image_size=224, workers=None, allow_rejected=0, tables=None, verify=False
) -> dict:
    """Makes a cache of a data folder, or goes on with one that was left unfinished.

    Args:
        data: the original folder and its labels; the protocol is not looked at.
        cache_dir: the folder to write: new, empty, or a cache of the same images, tables and size.
        image_size: height and width in pixels.
        workers: processes; None takes one a processor.
        allow_rejected: images that may be unreadable; they are left out.
        tables: what `read_tables` gives, if it is at hand.
        verify: read every shard of a finished cache, and make those again whose checksum is wrong.

    Returns:
        What `meta.json` holds.

    Raises:
        ValueError: if the folder holds something else or a cache of another plan (says what differs), or if more images
            are unreadable than allowed (names `rejected.csv`); the next call tries these again.
        BlockingIOError: if another process works on this cache.
        OSError: if the disk is too full.
    """
    if is_cache(data.data_dir):
        raise ValueError(f"{data.data_dir} is a cache already: prepare the original images.")
    tables = tables or read_tables(data)
    found = find_images(tables, data)
    plan = _plan(found, image_size)
    cache_dir = Path(cache_dir)
    if cache_dir.exists() and not cache_dir.is_dir():
        raise NotADirectoryError(f"{cache_dir} is a file: name a new folder for the cache.")
    if cache_dir.exists() and {p.name for p in cache_dir.iterdir() if not p.name.startswith(PART)} - WRITTEN:
        raise ValueError(f"{cache_dir} holds other things than a cache: it is left alone. Name a new folder.")
    tasks = [
        (found.table["path"].iloc[first : first + SHARD_IMAGES].tolist(), _shard(cache_dir, number), image_size)
        for number, first in enumerate(range(0, len(found.table), SHARD_IMAGES))
    ]
    command = _command(data, cache_dir, image_size)
    damaged = []
    if is_finished(cache_dir):  # if all is well it is only read, so any number of runs may share it
        _check_plan(cache_dir, plan, tables)
        damaged = _damaged(cache_dir, tasks) if verify else []
        if not damaged and is_whole(cache_dir) and all(is_done(task, rejected_too=True) for task in tasks):
            meta = read_meta(cache_dir)
            if meta["rejected"] <= allow_rejected:
                return meta
            if not _some_can_be_read(cache_dir, found.table):
                _check_rejected(cache_dir, len(found.table), allow_rejected, command)
    (cache_dir / "shards").mkdir(parents=True, exist_ok=True)
    with one_process(cache_dir):
        _check_plan(cache_dir, plan, tables)
        (cache_dir / "meta.json").unlink(missing_ok=True)
        for shard in damaged:
            shard.unlink()
        _work(tasks, workers)
        records = _write_tables(cache_dir, tables, found.table["image"])
        _check_rejected(cache_dir, len(found.table), allow_rejected, command)
        sources = {file.name: checksum(file) for file in source_files(data)}
        return _finish(cache_dir, records, found.notes, {**plan, "sources": sources})


def _damaged(cache_dir, tasks) -> list[Path]:
    """Lists the shards of a finished cache whose checksum is wrong."""
    checksums = read_meta(cache_dir)["shards"]
    return [shard for _, shard, _ in tasks if checksum(shard) not in (None, checksums[shard.name])]


def _some_can_be_read(cache_dir, table) -> bool:
    """Tells whether an image that was rejected has been mended since."""
    names = pd.read_csv(cache_dir / "rejected.csv", dtype=str)["image"]
    for path in table["path"][table["image"].isin(names)]:
        with contextlib.suppress(ValueError):
            read_with_note(path)
            return True
    return False


def _command(data, cache_dir, image_size) -> str:
    """Writes the command line that prepares this cache."""
    options = {name: getattr(data, name) for name in ("data_dir", "labels_csv")}
    options |= {name: value for name, default in LABEL_OPTIONS.items() if (value := getattr(data, name)) != default}
    options |= {"cache_dir": cache_dir, "image_size": image_size}
    words = ["mamsf-keras", "prepare", *(["--allow-missing"] if data.allow_missing else [])]
    for name, value in options.items():
        if value is not None:
            words += [f"--{name.replace('_', '-')}", ",".join(value) if isinstance(value, tuple) else str(value)]
    return shlex.join(words)


def _plan(found, image_size) -> dict:
    content = found.table.drop(columns="path").to_csv(index=False, lineterminator="\n")
    return {
        "format": FORMAT,
        "image_size": image_size,
        "files": len(found.table),
        "interpolation": INTERPOLATION,
        "findings": list(found.findings),
        "table_sha256": hashlib.sha256(content.encode()).hexdigest(),
    }


def _check_plan(cache_dir, plan, tables):
    """Refuses a cache that was made for something else, and says what."""
    path = cache_dir / "plan.json"
    if not path.exists() and not is_finished(cache_dir):
        _check_space(cache_dir, plan, tables)
        write_json(path, plan)
        return
    made = read_plan(cache_dir) if path.exists() else read_meta(cache_dir)
    names = [name for name in plan if made.get(name) != plan[name]]
    if not names:
        if not path.exists():
            write_json(path, plan)
        return
    shown = [name for name in names if name != "table_sha256"] or ["table_sha256"]
    different = [f"{name} ({made.get(name)} there, {plan[name]} asked)" for name in shown]
    if is_finished(cache_dir) and "table_sha256" in names and "findings" not in names:
        different += changes(read_index(cache_dir, plan["findings"]), tables.table, plan["findings"])
    raise ValueError(
        f"{cache_dir} was made for something else: {'; '.join(different)}. Remove it, or name a new folder."
    )


def changes(old: pd.DataFrame, new: pd.DataFrame, findings) -> list[str]:
    """Says which images of two studies tables are new, gone, or have other labels or another patient."""
    old, new = (table.set_index("image") for table in (old, new))
    texts = [
        f"images {what}: {count_and_first(names)}"
        for what, names in (("new", new.index.difference(old.index)), ("gone", old.index.difference(new.index)))
        if len(names)
    ]
    both = new.index.intersection(old.index, sort=False)
    for what, columns in (("labels", list(findings)), ("patient", ["patient"])):
        one, two = old.loc[both, columns], new.loc[both, columns]
        changed = both[(one.ne(two) & ~(one.isna() & two.isna())).any(axis=1)]
        if len(changed):
            texts.append(f"images whose {what} changed: {count_and_first(changed)}")
    return texts


def _check_space(cache_dir, plan, tables):
    needed = len(tables.table) * (plan["image_size"] ** 2 + 1000)  # the index has less than 1 kB an image
    free = shutil.disk_usage(cache_dir).free
    if needed > free:
        raise OSError(f"The cache {cache_dir} needs {needed / 2**30:.1f} GiB, and {free / 2**30:.1f} GiB are free.")


def _shard(cache_dir, number) -> Path:
    return cache_dir / "shards" / f"{number:05d}.npy"


def _work(tasks, workers):
    """Makes the shards that are not done."""
    todo = [task for task in tasks if not is_done(task)]
    total, left = (sum(len(paths) for paths, *_ in some) for some in (tasks, todo))
    with tqdm(total=total, initial=total - left, desc="preparing", unit=" images", smoothing=0) as bar:
        in_processes(make_shard, todo, workers, done=bar.update)


def _write_tables(cache_dir, tables, images) -> pd.DataFrame:
    """Writes the index and the rejected images, and returns what became of each image."""
    shards = sorted((cache_dir / "shards").glob("*.npy"))
    records = pd.concat([pd.read_csv(record_path(shard), dtype=str) for shard in shards], ignore_index=True)
    places = records.index.to_numpy()
    records = records.assign(
        image=images.to_numpy(),
        shard=[f"{number:05d}.npy" for number in places // SHARD_IMAGES],
        row=pd.array(places % SHARD_IMAGES, dtype="Int64"),
    )
    rejected, kept = records[records["error"].notna()], records[records["error"].isna()]
    columns = ["image", "shard", "row", *PIXEL_COLUMNS]
    index = tables.table.merge(kept[columns], on="image", how="left", validate="one_to_one")
    _write_csv(cache_dir / "index.csv", index)
    (cache_dir / "rejected.csv").unlink(missing_ok=True)
    if len(rejected):
        _write_csv(cache_dir / "rejected.csv", rejected[["image", "error"]])
    return records


def _check_rejected(cache_dir, images, allow_rejected, command):
    """Refuses more unreadable images than are allowed; `command` prepares this cache."""
    path = cache_dir / "rejected.csv"
    errors = pd.read_csv(path)["error"] if path.exists() else []
    if len(errors) > allow_rejected:
        raise ValueError(
            f"{len(errors)} of {images} images cannot be read (first: {errors[0]}); {path} has them all. Mend them and "
            f"run again, or leave them out of this cache: {command} --allow-rejected {len(errors)}"
        )


def _finish(cache_dir, records, notes, plan) -> dict:
    """Writes `meta.json`."""
    kept = records[records["error"].isna()]
    meta = {
        **plan,
        "images": len(kept),
        "rejected": len(records) - len(kept),
        "notes": [*notes, *(f"{count} {text}" for text, count in kept["note"].value_counts().items())],
        "tables": {name: checksum(cache_dir / name) for name in TABLES},
        "shards": {shard.name: checksum(shard) for shard in sorted((cache_dir / "shards").glob("*.npy"))},
    }
    write_json(cache_dir / "meta.json", meta)
    return meta


def _write_csv(path, frame):
    with whole_file(path) as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n")

"""Makes a cache, resumes one, or checks a finished one. `layout.py` describes its files."""

import logging
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from mamsf_keras.allowance import allowed_count
from mamsf_keras.data.cache.layout import TABLES, is_finished, read_meta, tables_are_intact
from mamsf_keras.data.cache.plan import check_plan, has_plan, make_plan, write_plan
from mamsf_keras.data.cache.shard import PIXEL_COLUMNS, Shard, is_current, make_shard, refresh
from mamsf_keras.data.dataset import Dataset
from mamsf_keras.data.readers.cache import read_cache
from mamsf_keras.data.splits import assign_splits
from mamsf_keras.parallel import parallel_map
from mamsf_keras.storage import checksum, exclusive_lock, remove_unfinished, write_csv, write_json

SHARD_IMAGES = 256
logger = logging.getLogger(__name__)


class UnreadableImages(ValueError):
    """More images are unreadable than allowed.

    Attributes:
        count: number of unreadable images.
        cache_dir: the unfinished cache, whose `rejected.csv` lists them.
        image_size: height and width of the images in the cache, in pixels.
    """

    def __init__(self, message: str, count: int, cache_dir: Path, image_size: int) -> None:
        super().__init__(message)
        self.count = count
        self.cache_dir = cache_dir
        self.image_size = image_size


def prepare(
    dataset: Dataset,
    cache_dir: str | Path,
    image_size: int = 224,
    *,
    workers: int | None = None,
    allow_rejected: int | str | None = 0,
    verify: bool = False,
    shard_images: int = SHARD_IMAGES,
) -> Dataset:
    """Decodes every image of a data set once into a cache, or resumes or checks an existing cache.

    An intact finished cache is only read, so any number of runs may share it. If another process is working on the
    cache, this one waits and then uses the result. Images whose file has changed, and rejected images that have become
    readable, are decoded again.

    ```python
    cached = prepare(open_dataset("ChestX-ray14"), "nih224", image_size=224)
    ```

    Args:
        dataset: original images. All are prepared, regardless of their split.
        cache_dir: folder to write: new, empty, or a cache of the same images, tables and size.
        image_size: height and width in pixels.
        workers: number of processes, one per CPU core by default.
        allow_rejected: how many unreadable images may be left out, as a number or a percentage such as "1%". None
            allows as many as an existing finished cache left out, and 0 in a new cache.
        verify: whether to read every shard of a finished cache, and to rebuild those with a wrong checksum.
        shard_images: images per shard.

    Returns:
        The data set that the cache holds, split by the protocol of `dataset`.

    Raises:
        ValueError: if `dataset` is a cache, or the folder holds other files or a cache of another plan.
        NotADirectoryError: if `cache_dir` is a file.
        UnreadableImages: if more images are unreadable than allowed, or if all are. The next call tries them again.
        OSError: if the disk is full.
    """
    if dataset.image_size is not None:
        raise ValueError("The data are already a cache. Prepare the original images instead.")
    cache_dir = Path(cache_dir)
    whole = dataset.unsplit
    images = whole.resolved
    plan = make_plan(images, image_size, shard_images)
    check_plan(cache_dir, plan, whole.table)
    shards = _list_shards(images.table["path"], cache_dir, image_size, shard_images)
    damaged = _find_damaged(cache_dir, shards) if verify and is_finished(cache_dir) else []
    stale = [shard for shard in shards if shard in damaged or not is_current(shard)]
    if stale or not _is_complete(cache_dir, allow_rejected):
        (cache_dir / "shards").mkdir(parents=True, exist_ok=True)
        with exclusive_lock(cache_dir, wait=True):
            check_plan(cache_dir, plan, whole.table)  # another process may have been faster
            for shard in _find_damaged(cache_dir, damaged) if is_finished(cache_dir) else damaged:
                shard.path.unlink(missing_ok=True)
            todo = [shard for shard in tqdm(stale, desc="comparing", unit=" shards", delay=1) if not refresh(shard)]
            if todo or not _is_complete(cache_dir, allow_rejected):
                _write_cache(cache_dir, plan, shards, whole, allow_rejected, todo=todo, workers=workers)
    cached = read_cache(cache_dir)
    return cached if dataset.protocol is None else assign_splits(cached, dataset.protocol)


def _list_shards(paths: pd.Series, cache_dir, image_size, shard_images) -> list[Shard]:
    starts = range(0, len(paths), shard_images)
    return [
        Shard(paths.iloc[start : start + shard_images].tolist(), cache_dir / "shards" / f"{i:05d}.npy", image_size)
        for i, start in enumerate(starts)
    ]


def _find_damaged(cache_dir, shards) -> list[Shard]:
    """Returns the shards of a finished cache whose checksum is wrong."""
    checksums = read_meta(cache_dir)["shards"]
    return [shard for shard in shards if checksum(shard.path) not in (None, checksums.get(shard.path.name))]


def _is_complete(cache_dir, allow_rejected) -> bool:
    """Returns True if a cache needs no work, except perhaps for its shards.

    Raises:
        UnreadableImages: if it is complete except for rejected images, and more than are allowed.
    """
    if not (is_finished(cache_dir) and has_plan(cache_dir) and tables_are_intact(cache_dir)):
        return False
    meta = read_meta(cache_dir)
    _check_rejected(cache_dir, meta, _allowed(cache_dir, meta, allow_rejected))
    return True


def _allowed(cache_dir, plan, allow_rejected) -> int:
    if allow_rejected is None:
        return read_meta(cache_dir)["rejected"] if is_finished(cache_dir) else 0
    return allowed_count("allow_rejected", allow_rejected, plan["files"])


def _write_cache(cache_dir, plan, shards, dataset, allow_rejected, *, todo, workers):
    """Writes the shards in `todo`, and then the tables and `meta.json`."""
    if not has_plan(cache_dir):
        write_plan(cache_dir, plan)
    for note in dataset.resolved.notes:  # before the work, in case too many images are left out
        logger.info(note)
    allowed = _allowed(cache_dir, plan, allow_rejected)
    (cache_dir / "meta.json").unlink(missing_ok=True)
    for folder in (cache_dir, cache_dir / "shards"):
        remove_unfinished(folder)
    _make_shards(shards, todo, workers)
    records = _read_records(shards)
    _write_tables(cache_dir, dataset.table, records.assign(image=dataset.resolved.table["image"]))
    _check_rejected(cache_dir, plan, allowed)
    kept = records[records["error"].isna()]
    notes = (f"{count} {text}" for text, count in kept["note"].value_counts().items())
    meta = {
        **plan,
        "kind": dataset.kind,
        "sources": {file.name: checksum(file) for file in dataset.sources},
        "images": len(kept),
        "rejected": len(records) - len(kept),
        "notes": [*dataset.resolved.notes, *notes],
        "tables": {name: checksum(cache_dir / name) for name in TABLES},
        "shards": {shard.path.name: checksum(shard.path) for shard in shards},
    }
    write_json(cache_dir / "meta.json", meta)


def _make_shards(shards, todo, workers):
    total, left = (sum(len(shard.images) for shard in some) for some in (shards, todo))
    with tqdm(total=total, initial=total - left, desc="preparing", unit=" images", smoothing=0) as bar:
        parallel_map(make_shard, todo, workers, on_result=bar.update)


def _read_records(shards) -> pd.DataFrame:
    """Returns the record of each image with its shard and its row in the shard, in the order of the table."""
    records = []
    for shard in shards:
        of_shard = pd.read_csv(shard.records, dtype=str)
        records.append(of_shard.assign(shard=shard.path.name, row=range(len(of_shard))))
    return pd.concat(records, ignore_index=True)


def _write_tables(cache_dir, table, records):
    """Writes the index, which has every row of the table, and the list of rejected images."""
    kept, rejected = records[records["error"].isna()], records[records["error"].notna()]
    columns = ["image", "shard", "row", *PIXEL_COLUMNS]
    table = table.drop(columns="split", errors="ignore")
    index = table.merge(kept[columns], on="image", how="left", validate="one_to_one")
    write_csv(cache_dir / "index.csv", index.astype({"row": "Int64"}))
    (cache_dir / "rejected.csv").unlink(missing_ok=True)
    if len(rejected):
        write_csv(cache_dir / "rejected.csv", rejected[["image", "error"]])


def _check_rejected(cache_dir, plan, allowed):
    """Raises `UnreadableImages` if more images are rejected than allowed, or all of them."""
    path = cache_dir / "rejected.csv"
    errors = pd.read_csv(path)["error"].tolist() if path.exists() else []
    if len(errors) <= allowed and len(errors) < plan["files"]:
        return
    leave_out = f", or leave them out with `allow_rejected` {len(errors)}" if len(errors) < plan["files"] else ""
    raise UnreadableImages(
        f"{len(errors)} of {plan['files']} images cannot be read (first: {errors[0]}); {path} lists them all. "
        f"Repair them and run again{leave_out}.",
        count=len(errors),
        cache_dir=cache_dir,
        image_size=plan["image_size"],
    )

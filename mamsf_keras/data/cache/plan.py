"""The plan of a cache: the images and the size that it is made for, and the differences between two plans."""

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from mamsf_keras.data.cache.layout import FILES, FORMAT, is_finished, read_index, read_meta, read_plan
from mamsf_keras.data.dataset import Dataset
from mamsf_keras.data.tables import count_and_first
from mamsf_keras.storage import TEMPORARY_PREFIX, format_bytes, write_json

INTERPOLATION = "triangle, antialiased"


def make_plan(images: Dataset, image_size: int, shard_images: int) -> dict:
    """Returns the plan of a cache of resolved images as a JSON-ready dictionary."""
    content = images.table.drop(columns=["path", "split"], errors="ignore").to_csv(index=False, lineterminator="\n")
    return {
        "format": FORMAT,
        "image_size": image_size,
        "shard_images": shard_images,
        "files": len(images.table),
        "interpolation": INTERPOLATION,
        "findings": list(images.findings),
        "table_sha256": hashlib.sha256(content.encode()).hexdigest(),
    }


def check_plan(cache_dir: Path, plan: dict, table: pd.DataFrame) -> None:
    """Checks that a folder does not exist, is empty, or holds a cache of this plan.

    Args:
        cache_dir: the folder; it need not exist.
        plan: what `make_plan` returned.
        table: the table of the whole data set.

    Raises:
        NotADirectoryError: if it is a file.
        ValueError: if it holds other files, or a cache of another plan; lists the differences.
    """
    if not cache_dir.exists():
        return
    if not cache_dir.is_dir():
        raise NotADirectoryError(f"{cache_dir} is a file. Choose a new folder for the cache.")
    if {path.name for path in cache_dir.iterdir() if not path.name.startswith(TEMPORARY_PREFIX)} - FILES:
        raise ValueError(
            f"{cache_dir} contains files that are not part of a cache, so it was not changed. Choose a new folder."
        )
    if not (has_plan(cache_dir) or is_finished(cache_dir)):
        return
    made = read_plan(cache_dir) if has_plan(cache_dir) else read_meta(cache_dir)
    names = [name for name in plan if made.get(name) != plan[name]]
    if not names:
        return
    shown = [name for name in names if name != "table_sha256"] or ["table_sha256"]
    different = [f"{name} (existing: {made.get(name)}, requested: {plan[name]})" for name in shown]
    if is_finished(cache_dir) and "table_sha256" in names and "findings" not in names:
        different += table_changes(read_index(cache_dir, plan["findings"]), table, plan["findings"])
    raise ValueError(
        f"{cache_dir} was made with other settings: {'; '.join(different)}. Remove it, or choose a new folder."
    )


def has_plan(cache_dir: Path) -> bool:
    """Returns True if a folder has a plan. Every intact cache has one."""
    return (cache_dir / "plan.json").exists()


def write_plan(cache_dir: Path, plan: dict) -> None:
    """Writes the plan into a new cache. Raises `OSError` if there is not enough disk space."""
    needed = plan["files"] * (plan["image_size"] ** 2 + 1000)  # the index takes less than 1 kB per image
    free = shutil.disk_usage(cache_dir).free
    if needed > free:
        raise OSError(
            f"The cache {cache_dir} needs {format_bytes(needed)}, but only {format_bytes(free)} are available."
        )
    write_json(cache_dir / "plan.json", plan)


def table_changes(old: pd.DataFrame, new: pd.DataFrame, findings: Iterable[str]) -> list[str]:
    """Describes the images that were added or removed between two tables, or whose labels or patient changed."""
    old, new = (table.set_index("image") for table in (old, new))
    texts = [
        f"{what} images: {count_and_first(names)}"
        for what, names in (("new", new.index.difference(old.index)), ("removed", old.index.difference(new.index)))
        if len(names)
    ]
    both = new.index.intersection(old.index, sort=False)
    for what, columns in (("labels", list(findings)), ("patient", ["patient"])):
        one, two = old.loc[both, columns], new.loc[both, columns]
        changed = both[(one.ne(two) & ~(one.isna() & two.isna())).any(axis=1)]
        if len(changed):
            texts.append(f"images whose {what} changed: {count_and_first(changed)}")
    return texts

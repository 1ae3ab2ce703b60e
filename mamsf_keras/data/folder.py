"""A data folder, original or prepared, to one row an image with its part."""

import dataclasses

from mamsf_keras.config import DataConfig, TrainConfig
from mamsf_keras.data.cache import check_size, default_cache_dir, is_cache, is_finished, read_cache, read_meta
from mamsf_keras.data.prepare import prepare
from mamsf_keras.data.source import find_images, read_tables
from mamsf_keras.data.splits import split
from mamsf_keras.data.tables import Studies, count_and_first


def read_split(data: DataConfig, tables: Studies | None = None) -> Studies:
    """Reads a data folder, or a cache of one, and adds the column `part`: "train", "validation" or "test".

    The split is that of the tables, so it does not depend on which images are there. Images that the protocol leaves
    out are not in the table. `tables` are those of the folder or cache, if they are at hand.

    Raises:
        ValueError, FileNotFoundError: as `read_tables`, `split`, `find_images`; if a cache is to have other labels.
    """
    cached = is_cache(data.data_dir)
    studies = tables or (read_cache_of(data) if cached else read_tables(data))
    part = split(studies.table, studies.findings, data.protocol)
    table = studies.table.assign(part=part)[part != ""].reset_index(drop=True)
    studies = dataclasses.replace(studies, table=table, notes=studies.notes + note_left_out(part, data.protocol))
    if not cached:
        return find_images(studies, data)
    table = table.dropna(subset="row").reset_index(drop=True).astype({"row": int})
    return dataclasses.replace(studies, table=table, notes=studies.notes + same_pixels(table))


def read_cache_of(data: DataConfig) -> Studies:
    """Reads a cache in place of a data folder. Raises `ValueError` if it is to have other labels than its own."""
    if data.labels_csv is not None:
        raise ValueError(f"{data.data_dir} is a cache and has its own labels: leave out --labels-csv.")
    return read_cache(data.data_dir)


def read_run_tables(config: TrainConfig) -> Studies:
    """Reads the tables of a run and refuses what cannot be trained on, before any long work."""
    if is_cache(config.data_dir):
        check_size(config.data_dir, read_meta(config.data_dir)["image_size"], config.image_size)
        return read_cache_of(config)
    tables = read_tables(config)
    split(tables.table, tables.findings, config.protocol)
    return tables


def read_run_data(config: TrainConfig, tables: Studies | None = None) -> Studies:
    """Reads the data of a run by way of a cache, which it makes or finds, unless `config.cache` is off.

    `tables` are what `read_run_tables` gave, if they are at hand.
    """
    tables = tables or read_run_tables(config)
    if not config.cache or is_cache(config.data_dir):
        return read_split(config, tables)
    cache_dir = config.cache_dir or default_cache_dir(config, config.image_size)
    if is_finished(cache_dir):
        allowed = read_meta(cache_dir)["rejected"]  # as `prepare --allow-rejected` left it
    else:
        allowed = 0
        print(f"preparing every image once, into the cache {cache_dir} (--cache-dir, --no-cache)", flush=True)
    prepare(config, cache_dir, config.image_size, allow_rejected=allowed, tables=tables)
    return read_split(config.at_cache(cache_dir))


def note_left_out(part, protocol) -> tuple[str, ...]:
    """Says how many images a protocol leaves out, if any."""
    count = int((part == "").sum())
    return (f"images left out by the {protocol} protocol: {count}",) if count else ()


def same_pixels(table) -> tuple[str, ...]:
    """Reports images of the same pixels in two parts, by their hash in a cache."""
    groups = table[table["sha256"].duplicated(keep=False)].groupby("sha256")
    pairs = [" = ".join(rows["image"]) for _, rows in groups if rows["part"].nunique() > 1]
    return (f"pictures with the same pixels in more than one part: {count_and_first(pairs)}",) if pairs else ()

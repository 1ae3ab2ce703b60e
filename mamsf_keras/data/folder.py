"""A data folder, original or prepared, to one row an image with its part."""

import dataclasses

from mamsf_keras.data.cache import is_cache, read_cache
from mamsf_keras.data.chestxray14 import Studies, find_images, read_tables
from mamsf_keras.data.splits import split


def read_split(data_dir, protocol: str = "official", allow_missing: bool = False) -> Studies:
    """Reads an NIH folder, or a cache of one, and adds the column `part`: "train", "validation" or "test".

    The split is that of the tables, so it does not depend on which images are there.

    Args:
        data_dir: what `read_studies` takes, or a folder that `prepare` made.
        protocol: how the images are split; see `split`.
        allow_missing: go on without the images that are not there.

    Raises:
        ValueError, FileNotFoundError: as `read_studies`.
    """
    studies = read_cache(data_dir) if is_cache(data_dir) else read_tables(data_dir)
    part = split(studies.table, studies.findings, protocol)
    studies = dataclasses.replace(studies, table=studies.table.assign(part=part))
    if is_cache(data_dir):
        table = studies.table.dropna(subset="row").reset_index(drop=True)
        return dataclasses.replace(studies, table=table.astype({"row": int}))
    return find_images(studies, data_dir, allow_missing)

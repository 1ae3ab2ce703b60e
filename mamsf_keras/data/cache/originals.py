"""Checks whether the originals of a finished cache have changed since the cache was made."""

import logging
from pathlib import Path

from tqdm import tqdm

from mamsf_keras.data.cache.records import file_checksum, read_records, size_and_time
from mamsf_keras.data.tables import count_and_first

logger = logging.getLogger(__name__)


def check_originals(cache_dir: str | Path) -> None:
    """Checks that the originals of a finished cache are unchanged. Originals that no longer exist are skipped.

    Each file is checked once. Checksums are compared only if a file has the same size but a different modification
    time.

    Raises:
        ValueError: if originals were changed; names them.
    """
    touched, changed = 0, []
    paths = sorted((Path(cache_dir) / "shards").glob("*.csv"))
    for path in tqdm(paths, desc="comparing originals", unit=" shards", delay=2):
        for record in read_records(path) or []:
            size, modified = size_and_time(record.path)
            if not size or record.error or (size, modified) == (record.bytes, record.modified):
                continue
            touched += 1
            if size != record.bytes or file_checksum(record.path) not in (record.checksum, ""):
                changed.append(record.path)
    if changed:
        raise ValueError(
            f"Original images were changed after the cache {cache_dir} was made: {count_and_first(changed)}. Run the "
            "same `mamsf-keras prepare` command again."
        )
    if touched:
        text = "%d originals of the cache %s have new modification times but the same content. Run "
        logger.info(text + "`mamsf-keras prepare` to avoid comparing them at each start", touched, cache_dir)

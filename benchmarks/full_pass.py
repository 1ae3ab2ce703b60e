"""Measures a pass over a cache of all 112,120 images of the NIH tables: time to first batch, memory, images visited.

    python -m benchmarks.full_pass --tables folder_of_the_full_tables --images folder_of_any_pngs

The images are repeated by symbolic links under the names in the tables and prepared at 64 px.
"""

import itertools
import tempfile
import time
from pathlib import Path

import click
import numpy as np
import psutil

from benchmarks.input_pipeline import alone
from mamsf_keras.data.cache.prepare import prepare
from mamsf_keras.data.open import open_dataset

SIZE, BATCH = 64, 32


def linked(tables, images, folder):
    """Writes an NIH folder with all images of the tables, each a link to one of `images`, and returns it."""
    places = folder / "images_001" / "images"
    places.mkdir(parents=True)
    for table in tables.iterdir():
        (folder / table.name).symlink_to(table)
    for name, image in zip(open_dataset(tables).table["image"], itertools.cycle(images)):
        (places / name).symlink_to(image)
    return folder


def one_pass(cache_dir) -> str:
    """Reads every image once, as training does, and returns a report of time and memory."""
    from mamsf_keras.data.batches.feed import training_batches
    from mamsf_keras.data.batches.stream import Stream

    process, start = psutil.Process(), time.perf_counter()
    stream = Stream(open_dataset(cache_dir).resolved, SIZE, BATCH)
    batches = iter(training_batches(stream, 0, stream.steps_per_pass))
    next(batches)
    first = time.perf_counter() - start
    read, peak = 1, 0
    for _ in batches:
        read += 1
        if read % 100 == 0:
            memory = process.memory_info()
            peak = max(peak, memory.rss - memory.shared)
    seconds = time.perf_counter() - start
    rows = np.concatenate([stream.rows(step) for step in range(stream.steps_per_pass)])
    return (
        f"{len(stream)} rows; first batch after {first:.1f} s, full pass after {seconds:.1f} s\n"
        f"peak memory without mapped files: {peak / 2**30:.2f} GiB\n"
        f"images read {read * BATCH}, distinct images {len(np.unique(rows))}, left out {len(stream) - len(rows)} "
        f"(N mod batch: {len(stream) % BATCH})"
    )


@click.command()
@click.option("--tables", required=True, type=click.Path(exists=True, path_type=Path), help="Full NIH tables.")
@click.option("--images", required=True, type=click.Path(exists=True, path_type=Path), help="Folder of PNG files.")
def main(tables, images):
    """Prepare 112,120 links and read them once."""
    with tempfile.TemporaryDirectory() as work:
        pictures = sorted(images.resolve().glob("*.png"))
        folder = linked(tables.resolve(), pictures, Path(work) / "nih")
        start = time.perf_counter()
        count = len(prepare(open_dataset(folder), Path(work) / "cache", SIZE).resolved.table)
        seconds = time.perf_counter() - start
        click.echo(f"prepared {count} images in {seconds:.0f} s, {count / seconds:.0f} images/s")
        click.echo(alone(one_pass, Path(work) / "cache"))


if __name__ == "__main__":
    main()

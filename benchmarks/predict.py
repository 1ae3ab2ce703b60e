"""Compares `predict` and the prediction of `evaluate` with a bare `model.predict` over the same images in memory.

    python -m benchmarks.predict --images FOLDER --run-dir RUN --count 10000

The images of the folder are repeated by symbolic links. The variants take turns on interleaved parts of the images, so
that other load on the machine affects all of them. Peak memory is that of `predict` in a separate process.
"""

import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pandas as pd

BATCH, SHARES = 32, 5

MEMORY = """
import json, sys
from pathlib import Path
from benchmarks.predict import ways, peak
folder = Path(sys.argv[1])
images = sorted((folder / "images").iterdir())[:int(sys.argv[3])]
work = ways(images[:32], sys.argv[2], folder)["predict"]
before = peak()
work(images)
print(json.dumps([before, peak()]))
"""


def peak() -> float:
    """Returns the peak memory of this process in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def ways(images, run_dir, folder) -> dict[str, Callable]:
    """Returns functions that predict the images of a list of paths, each run once, so that everything is compiled."""
    from mamsf_keras.images.gray import read_gray
    from mamsf_keras.inference.predict import predict_records
    from mamsf_keras.inference.records import csv_writer, json_writer
    from mamsf_keras.inference.source import open_source

    source = open_source(run_dir)
    model, size = source.predictor.model, source.image_size
    pixels = {path: read_gray(path, size) for path in {os.path.realpath(path) for path in images}}

    def in_memory(paths):
        return np.stack([pixels[os.path.realpath(path)] for path in paths])[..., None]

    def bare(paths, arrays):
        model.predict(arrays, batch_size=BATCH, verbose=0)

    def loop(paths, arrays):
        for start in range(0, len(paths), BATCH):
            batch = [read_gray(path, size) for path in paths[start : start + BATCH]]
            model.predict_on_batch(np.stack(batch)[..., None])

    def evaluate(paths, arrays):
        source.predictor.predict_stream(stream(arrays[..., 0], size), progress=False)

    def predict(paths, arrays=None):
        with json_writer(folder / "p.json", source) as write_json, csv_writer(folder / "p.csv", source) as write_csv:
            for record in predict_records(paths, source, BATCH):
                write_json(record)
                write_csv(record)

    compared = {"bare": bare, "loop": loop, "evaluate": evaluate, "predict": predict}
    for way in compared.values():
        way(images[:BATCH], in_memory(images[:BATCH]))
    return {**compared, "in memory": in_memory}


def stream(pixels, size):
    """Returns the stream of a data set with its pixels in memory, as in a cache."""
    from mamsf_keras.data.batches.stream import Stream
    from mamsf_keras.data.dataset import Dataset

    store = type("Memory", (), {"image_size": None, "open": lambda self, table, size: pixels.__getitem__})()
    table = pd.DataFrame({"image": np.arange(len(pixels)).astype(str)})
    return Stream(Dataset(table, (), store, is_resolved=True), size, BATCH)


def compare(images, run_dir, folder):
    """Prints images per second of each way, and the median ratio to the bare loop over the shares."""
    functions = ways(images, run_dir, folder)
    in_memory = functions.pop("in memory")
    seconds = {way: [] for way in functions}
    for number in range(SHARES):
        paths = images[number::SHARES]
        arrays = in_memory(paths)
        for way, function in functions.items():
            start = time.perf_counter()
            function(paths, arrays)
            seconds[way].append(time.perf_counter() - start)
    for way, times in seconds.items():
        ratio = statistics.median(bare / one for bare, one in zip(seconds["bare"], times, strict=True))
        click.echo(f"{way:<10}{len(images) / sum(times):8.0f} images/s   {ratio:.2f} x bare")


def print_memory(count, run_dir, folder):
    """Prints the peak memory of `predict` for a tenth of the images and for all of them."""
    for some in (count // 10, count):
        words = [sys.executable, "-c", MEMORY, str(folder), str(run_dir), str(some)]
        result = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True)
        before, after = json.loads(result.stdout.splitlines()[-1])
        click.echo(f"peak memory of predict with {some} images: {after:.2f} GiB, {before:.2f} GiB before the first")


@click.command()
@click.option("--images", required=True, type=click.Path(exists=True, path_type=Path), help="Folder of PNG files.")
@click.option("--run-dir", required=True, type=click.Path(exists=True), help="Run with a model.")
@click.option("--count", default=10_000, show_default=True, help="Number of predictions.")
def main(images, run_dir, count):
    """Measure images per second and peak memory."""
    os.environ["TQDM_DISABLE"] = "1"
    with tempfile.TemporaryDirectory() as work:
        (Path(work) / "images").mkdir()
        files = itertools.cycle(sorted(images.resolve().glob("*.png")))
        for number in range(count):
            (Path(work) / "images" / f"{number:06d}.png").symlink_to(next(files))
        compare(sorted((Path(work) / "images").iterdir()), run_dir, Path(work))
        print_memory(count, run_dir, Path(work))


if __name__ == "__main__":
    main()

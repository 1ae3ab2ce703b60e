"""Measures images per second of `prepare` against plain Pillow, and of the cached stream against other loaders.

    python -m benchmarks.input_pipeline --images folder_of_original_pngs

The originals are repeated by symbolic links up to `--count` files and read at 224 px. Every measurement runs in a
separate process, in alternating rounds. Results are medians; compare the ratios. `NIH_Dataset` of torchxrayvision with
the PyTorch `DataLoader` is included if it is installed.
"""

import importlib.util
import itertools
import os
import statistics
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import click
import numpy as np
from PIL import Image

from mamsf_keras.data.open import open_dataset
from mamsf_keras.parallel import parallel_map

BATCH = 32
SIZE = 224
COLUMNS = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,W,H,X,Y"


def repeated(originals, folder, count):
    """Writes an NIH folder of `count` links to the originals, two images per patient, and returns it."""
    images = folder / "images_001" / "images"
    images.mkdir(parents=True)
    names = [f"{number // 2 + 1:08d}_{number % 2:03d}.png" for number in range(count)]
    for name, original in zip(names, itertools.cycle(originals)):
        (images / name).symlink_to(original)
    labels = ("No Finding", "Effusion", "Mass")
    rows = [f"{name},{labels[i // 2 % 3]},0,{i // 2 + 1},50,M,PA,1024,1024,0.1,0.1" for i, name in enumerate(names)]
    (folder / "Data_Entry_2017.csv").write_text("\n".join([COLUMNS, *rows]) + "\n")
    (folder / "train_val_list.txt").write_text("\n".join(names[: count * 4 // 5]) + "\n")
    (folder / "test_list.txt").write_text("\n".join(names[count * 4 // 5 :]) + "\n")
    return folder


def pillow(path) -> np.ndarray:
    """Only decodes and resizes one image."""
    with Image.open(path) as image:
        return np.asarray(image.convert("L").resize((SIZE, SIZE), Image.Resampling.BILINEAR))


def pillow_chunk(paths):
    """Decodes a chunk and discards it."""
    for path in paths:
        pillow(path)


def pillow_rate(folder, cache_dir) -> float:
    """Returns images/s of Pillow alone on all CPU cores."""
    paths = image_paths(folder)
    start = time.perf_counter()
    parallel_map(pillow_chunk, [paths[i : i + 64] for i in range(0, len(paths), 64)])
    return len(paths) / (time.perf_counter() - start)


def prepare_rate(folder, cache_dir) -> float:
    """Returns images/s of `prepare`, into a new folder."""
    from mamsf_keras.data.cache.prepare import prepare

    with tempfile.TemporaryDirectory(dir=folder.parent) as new:
        start = time.perf_counter()
        dataset = prepare(open_dataset(folder), new, SIZE)
        return len(dataset.table) / (time.perf_counter() - start)


def prepare_memory(folder, cache_dir) -> float:
    """Returns the peak memory of `prepare` and its processes in GiB. Shared pages are counted once."""
    import psutil

    from mamsf_keras.data.cache.prepare import prepare

    peak, over = 0, threading.Event()

    def memory(process):
        try:
            return process.memory_full_info().pss
        except psutil.Error:  # it has ended
            return 0

    def watch():
        nonlocal peak
        while not over.wait(0.2):
            processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
            peak = max(peak, sum(memory(process) for process in processes))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        prepare(open_dataset(folder), cache_dir, SIZE)
    finally:
        over.set()
        watcher.join()
    return peak / 2**30


def image_paths(folder) -> list[str]:
    """Lists the images."""
    return [str(path) for path in sorted(folder.rglob("*.png"))]


def stream_rate(folder, augment, pydataset=False, count=400) -> float:
    """Returns images/s of the stream of this package, shuffled and batched, on a cache or on originals."""
    from mamsf_keras.data.batches import py_dataset
    from mamsf_keras.data.batches.stream import Stream

    stream = Stream(open_dataset(folder).resolved, SIZE, BATCH, augment)
    if pydataset:
        ahead = py_dataset.training_dataset(stream)
        return rate((ahead[i] for i in itertools.count()), count)
    from mamsf_keras.data.batches import tf_data

    return rate(tf_data.training_dataset(stream, 0, 10**6), count)


def cached_rate(folder, cache_dir) -> float:
    """Returns images/s of the cache through `tf.data`."""
    return stream_rate(cache_dir, "none", count=2000)


def cached_pydataset_rate(folder, cache_dir) -> float:
    """Returns images/s of the cache through the `PyDataset`."""
    return stream_rate(cache_dir, "none", pydataset=True, count=2000)


def augmented_rate(folder, cache_dir) -> float:
    """Returns images/s of the cache with light augmentation."""
    return stream_rate(cache_dir, "light")


def light_rate(folder, cache_dir) -> float:
    """Returns images/s of only the light augmentation, on one thread."""
    from mamsf_keras.images.augment import light

    image = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE), dtype=np.uint8)
    start = time.perf_counter()
    for row in range(2000):
        light(image, np.random.default_rng([0, 0, row]))
    return 2000 / (time.perf_counter() - start)


def original_rate(folder, cache_dir) -> float:
    """Returns images/s of the originals through `tf.data`."""
    return stream_rate(folder, "none", count=20)


def keras_rate(folder, cache_dir) -> float:
    """Returns images/s of a typical handwritten Keras pipeline: Pillow in a `PyDataset` with workers, in `predict`."""
    import keras

    class Images(keras.utils.PyDataset):
        def __init__(self):
            super().__init__(workers=os.cpu_count(), max_queue_size=8)
            self.paths = image_paths(folder)[: 20 * BATCH]

        def __len__(self):
            return len(self.paths) // BATCH

        def __getitem__(self, index):
            paths = self.paths[index * BATCH : (index + 1) * BATCH]
            return (np.stack([pillow(path) for path in paths])[..., None],)

    model = keras.Sequential([keras.Input((SIZE, SIZE, 1)), keras.layers.GlobalAveragePooling2D()])
    model.predict(np.zeros((BATCH, SIZE, SIZE, 1)), verbose=0)  # builds its graph
    start = time.perf_counter()
    return len(model.predict(Images(), verbose=0)) / (time.perf_counter() - start)


def torchxrayvision_rate(folder, cache_dir) -> float:
    """Returns images/s of the torchxrayvision data set, resized as in its own scripts, in the PyTorch loader."""
    import torch
    import torchvision
    import torchxrayvision as xrv

    data = xrv.datasets.NIH_Dataset(
        str(folder / "images_001" / "images"),
        csvpath=str(folder / "Data_Entry_2017.csv"),
        transform=torchvision.transforms.Compose([xrv.datasets.XRayCenterCrop(), xrv.datasets.XRayResizer(SIZE)]),
        unique_patients=False,
    )
    return rate(torch.utils.data.DataLoader(data, BATCH, shuffle=True, num_workers=os.cpu_count()), 20)


def rate(batches, count) -> float:
    """Reads `count` batches after the first and returns images/s."""
    iterator = iter(batches)
    next(iterator)
    start = time.perf_counter()
    for _ in itertools.islice(iterator, count):
        continue
    return count * BATCH / (time.perf_counter() - start)


def medians(measurements, folder, cache_dir, rounds) -> dict[str, float]:
    """Runs each measurement in turn, in a separate process."""
    values = {name: [] for name in measurements}
    for _ in range(rounds):
        for name, function in measurements.items():
            values[name].append(alone(function, folder, cache_dir))
    return {name: statistics.median(some) for name, some in values.items()}


def alone(function, *arguments):
    """Calls a function of this module in a new process."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


@click.command()
@click.option("--images", "originals", required=True, type=click.Path(exists=True, path_type=Path), help="PNG folder.")
@click.option("--count", type=click.IntRange(200), default=2000, show_default=True, help="Number of links to make.")
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True, help="Number of rounds.")
def main(originals, count, rounds):
    """Print images per second and ratios."""
    loaders = {
        "cache, tf.data": cached_rate,
        "cache, PyDataset": cached_pydataset_rate,
        "cache, light augmentation": augmented_rate,
        "light augmentation alone, one thread": light_rate,
        "originals, tf.data": original_rate,
        "originals, Pillow in a PyDataset": keras_rate,
    }
    if importlib.util.find_spec("torchxrayvision"):
        loaders["originals, torchxrayvision"] = torchxrayvision_rate
    with tempfile.TemporaryDirectory() as work:
        folder = repeated(sorted(originals.resolve().glob("*.png")), Path(work) / "nih", count)
        cache_dir = Path(work) / "cache"
        rates = medians({"Pillow": pillow_rate, "prepare": prepare_rate}, folder, cache_dir, rounds)
        click.echo(f"Pillow, decode and resize on all {os.cpu_count()} CPU cores: {rates['Pillow']:.1f} images/s")
        click.echo(f"prepare: {rates['prepare']:.1f} images/s, {rates['prepare'] / rates['Pillow']:.2f} x Pillow")
        click.echo(f"prepare, peak memory: {alone(prepare_memory, folder, cache_dir):.2f} GiB")
        rates = medians(loaders, folder, cache_dir, rounds)
    for name, value in rates.items():
        click.echo(f"{name:38}{value:10.1f} images/s   cache / this: {rates['cache, tf.data'] / value:8.1f}")


if __name__ == "__main__":
    main()

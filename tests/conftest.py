"""Toy backbone and tiny data: the suite runs on every backend, chosen by KERAS_BACKEND."""

import csv
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# JAX compiles a toy of one shape once for all tests and processes, not once for each: ten times faster.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

import numpy as np
import pytest
from PIL import Image

BACKEND = os.environ.get("KERAS_BACKEND", "tensorflow")
HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)


@pytest.fixture(scope="session", autouse=True)
def caches(tmp_path_factory):
    """Keeps the caches that `train` makes by itself out of the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("caches")))
        yield


def pytest_collection_modifyitems(items):
    for item in items:
        if item.get_closest_marker("tensorflow") and BACKEND != "tensorflow":
            item.add_marker(pytest.mark.skip(reason=f"needs TensorFlow as backend, this run is on {BACKEND}"))
        if item.get_closest_marker("no_keras") and BACKEND != "tensorflow":
            item.add_marker(pytest.mark.skip(reason="touches no Keras, so it runs once, beside TensorFlow"))


@pytest.fixture(scope="session")
def nih_dir():
    """The real NIH images."""
    if "MAMSF_NIH_DIR" not in os.environ:
        pytest.skip("MAMSF_NIH_DIR is not set: no real NIH images here")
    return Path(os.environ["MAMSF_NIH_DIR"])


def toy_backbone(size=32, dropout=0.1):
    """A pair (features, final_block) of one convolution each, with batch norm and drop path as EfficientNet has."""
    import keras
    from keras import layers

    rgb = keras.Input((size, size, 3))
    x = layers.Rescaling(1 / 128, -1.0)(rgb)
    x = layers.Conv2D(8, 3, strides=4, padding="same")(x)
    x = layers.Activation("relu")(layers.BatchNormalization(momentum=0.9)(x))
    entry = keras.Input(x.shape[1:])
    y = layers.Conv2D(12, 3, padding="same", use_bias=False)(entry)
    y = layers.Activation("swish")(layers.BatchNormalization(momentum=0.9)(y))
    y = layers.Dropout(dropout, noise_shape=(None, 1, 1, 1))(y)  # drop path
    return keras.Model(rgb, x, name="features"), keras.Model(entry, y, name="block")


def toy_efficientnetv2(name, cut, weights, image_size):
    """What `train` may build in place of `efficientnetv2`."""
    return toy_backbone(image_size)


@pytest.fixture
def toy_training(monkeypatch):
    """Lets `train` build the toy in place of an EfficientNetV2."""
    monkeypatch.setattr("mamsf_keras.training.build.efficientnetv2", toy_efficientnetv2)


def write_nih(folder, rows, size=16, header=HEADER, suffix="", end="\n", encoding="utf-8", test_from=10**9):
    """Writes an NIH folder of rows (image, labels, patient); patients from `test_from` on are test. Returns it."""
    images = folder / "images_001" / "images"
    images.mkdir(parents=True)
    lines = [header]
    for number, (image, labels, patient) in enumerate(rows):
        lines.append(f"{image},{labels},0,{patient},50,F,PA,2500,2048,0.171,0.171{suffix}")
        grey = np.random.default_rng(number).integers(0, 256, (size, size), dtype=np.uint8)
        Image.fromarray(grey).save(images / Path(image).name)
    (folder / "Data_Entry_2017.csv").write_text(end.join(lines) + end, encoding=encoding, newline="")
    parts = {"train_val_list.txt": [], "test_list.txt": []}
    for image, _, patient in rows:
        parts["test_list.txt" if int(patient) >= test_from else "train_val_list.txt"].append(image)
    for name, images in parts.items():
        (folder / name).write_text("".join(f"{image}\n" for image in images))
    return folder


def simple_rows(patients=40, each=2):
    """Rows of a small data set: a patient in four has Effusion, one in five has Mass."""
    rows = []
    for patient in range(1, patients + 1):
        labels = [name for name, k in (("Effusion", 4), ("Mass", 5)) if patient % k == 0]
        for follow_up in range(each):
            rows.append((f"{patient:08d}_{follow_up:03d}.png", "|".join(labels) or "No Finding", patient))
    return rows


@pytest.fixture
def small_nih(tmp_path):
    """A readable NIH folder of 80 random images of 40 patients, the last 12 of them test."""
    return write_nih(tmp_path / "nih", simple_rows(), test_from=29)


def rewrite_table(folder, change):
    """Changes the rows (lists of fields, header first) of the data table."""
    path = folder / "Data_Entry_2017.csv"
    rows = list(csv.reader(path.read_text().splitlines()))
    path.write_text("\n".join(",".join(row) for row in change(rows)) + "\n")

"""A toy backbone and tiny data sets. Importing this module registers the backbone as "toy"."""

import csv
from pathlib import Path

import keras
import numpy as np
import pandas as pd
from keras import layers
from PIL import Image

from mamsf_keras.data.dataset import Dataset
from mamsf_keras.data.image_files import ImageFiles
from mamsf_keras.model.backbone import register_backbone
from mamsf_keras.phantoms.geometry import Chest, normal_body
from mamsf_keras.phantoms.radiograph import RadiographSpec

HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)


def toy_backbone(size=32, dropout=0.1, batch_norm=True):
    """A pair (features, final_block) of one convolution each, with batch norm and drop path as EfficientNet has."""

    def norm(x):
        return layers.BatchNormalization(momentum=0.9)(x) if batch_norm else x

    rgb = keras.Input((size, size, 3))
    x = layers.Rescaling(1 / 128, -1.0)(rgb)
    x = layers.Conv2D(8, 3, strides=4, padding="same")(x)
    x = layers.Activation("relu")(norm(x))
    entry = keras.Input(x.shape[1:])
    y = layers.Conv2D(12, 3, padding="same", use_bias=False)(entry)
    y = layers.Activation("swish")(norm(y))
    y = layers.Dropout(dropout, noise_shape=(None, 1, 1, 1))(y)  # drop path
    return keras.Model(rgb, x, name="features"), keras.Model(entry, y, name="block")


register_backbone("toy", lambda name, cut, weights, image_size: toy_backbone(image_size))


def write_nih(folder, rows, size=16, header=HEADER, suffix="", end="\n", encoding="utf-8", test_from=10**9):
    """Writes an NIH folder of rows (image, labels, patient); patients from `test_from` on are test. Returns it."""
    images = folder / "images_001" / "images"
    images.mkdir(parents=True)
    lines = [header]
    for number, (image, labels, patient) in enumerate(rows):
        lines.append(f"{image},{labels},0,{patient},50,F,PA,2500,2048,0.171,0.171{suffix}")
        gray = np.random.default_rng(number).integers(0, 256, (size, size), dtype=np.uint8)
        Image.fromarray(gray).save(images / Path(image).name)
    (folder / "Data_Entry_2017.csv").write_text(end.join(lines) + end, encoding=encoding, newline="")
    lists = {"train_val_list.txt": [], "test_list.txt": []}
    for image, _, patient in rows:
        lists["test_list.txt" if int(patient) >= test_from else "train_val_list.txt"].append(image)
    for name, images in lists.items():
        (folder / name).write_text("".join(f"{image}\n" for image in images))
    return folder


def simple_rows(patients=40, each=2):
    """Rows of a small data set: one patient in four has Effusion, one in five has Mass."""
    rows = []
    for patient in range(1, patients + 1):
        labels = [name for name, k in (("Effusion", 4), ("Mass", 5)) if patient % k == 0]
        for follow_up in range(each):
            rows.append((f"{patient:08d}_{follow_up:03d}.png", "|".join(labels) or "No Finding", patient))
    return rows


def rewrite_table(folder, change):
    """Changes the rows (lists of fields, header first) of the data table."""
    path = folder / "Data_Entry_2017.csv"
    rows = list(csv.reader(path.read_text().splitlines()))
    path.write_text("\n".join(",".join(row) for row in change(rows)) + "\n")


def image_dataset(folder, images=11, size=16, **labels):
    """Returns a resolved data set of random PNG files, `0.png` and so on, without splits; by default without labels."""
    paths = []
    for row in range(images):
        paths.append(str(folder / f"{row}.png"))
        pixels = np.random.default_rng(row).integers(0, 256, (size, size), dtype=np.uint8)
        Image.fromarray(pixels).save(paths[-1])
    names = [f"{row}.png" for row in range(images)]
    table = pd.DataFrame({"image": names, "patient": names, "path": paths, **labels})
    return Dataset(table, tuple(labels), ImageFiles(folder, None), is_resolved=True)


class ArrayImages:
    """An image store over an array in memory, uint8 `(images, height, width)`."""

    image_size = None

    def __init__(self, images):
        self.images = images

    def open(self, table, image_size):
        return self.images.__getitem__


def array_dataset(images, labels, findings):
    """Returns a resolved data set of images in memory, without splits."""
    names = [str(row) for row in range(len(images))]
    table = pd.DataFrame(labels, columns=list(findings)).assign(image=names, patient=names)
    return Dataset(table, tuple(findings), ArrayImages(images), is_resolved=True)


def contents(folder) -> dict[str, bytes]:
    """Returns the content of each file in a folder by its relative path, locks left out."""
    files = [path for path in sorted(Path(folder).rglob("*")) if path.is_file() and path.name != ".lock"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def phantom_spec(number, *findings, frame=350.0):
    """Returns the description of a phantom radiograph; sex and view follow from the number of the patient."""
    return RadiographSpec(number, 0, findings, number % 2 == 0, number % 3 == 0, frame)


def phantom_chests(count, size=128):
    """Returns the thorax of several healthy phantoms, which lesions are drawn on."""
    chests = []
    for number in range(count):
        spec = phantom_spec(number)
        body = normal_body(0, number, 0, female=spec.female, portable=spec.portable, frame=spec.frame)
        chests.append(Chest(body, size).thorax)
    return chests

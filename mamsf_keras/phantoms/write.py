"""Writes a data set of phantoms in the NIH layout."""

import os
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from PIL import Image

from mamsf_keras.data.readers.nih import PHANTOMS, is_phantoms
from mamsf_keras.findings import FINDINGS, NO_FINDING
from mamsf_keras.parallel import parallel_map
from mamsf_keras.phantoms.labels import phantom_table
from mamsf_keras.phantoms.radiograph import RadiographSpec, draw
from mamsf_keras.storage import scratch_folder

README = f"""{PHANTOMS}

NOT MEDICAL DATA. Every image in this folder is a drawing; no patient was ever imaged. The folder has the layout of
NIH ChestX-ray14, and its label frequencies follow that table (Wang et al., ChestX-ray8, CVPR 2017, arXiv 1705.02315).
Use it to try out and test software. Scores on it have no clinical meaning.

{{images}} images of {{patients}} patients, {{size}} x {{size}} pixels; seed {{seed}}, tail {{tail}}.
BBox_List_2017.csv holds a box for every drawn lesion of the eight NIH findings with boxes. As in the NIH file, boxes
are in coordinates of a 1024 x 1024 pixel frame, regardless of the image size, and Infiltration is spelled "Infiltrate".
"""

WRITTEN = {
    "BBox_List_2017.csv",
    "Data_Entry_2017.csv",
    "README.txt",
    "images_001",
    "test_list.txt",
    "train_val_list.txt",
}
"""Contents of the folder of a data set. A folder with anything else in it is not replaced."""

MAGNIFICATION = 1.2
"""Magnification of the chest on the film, caused by the divergent beam."""

BOX_FRAME = 1024
"""Height and width of the frame of the NIH boxes, in pixels."""

CHUNK = 32
"""Number of images that a process draws at a time."""


def write_phantoms(
    out: str | Path,
    images: int = 2600,
    size: int = 256,
    seed: int = 0,
    tail: int = 0,
    workers: int | None = None,
    overwrite: bool = False,
    progress: Callable[[int], object] | None = None,
) -> pd.DataFrame:
    """Writes a synthetic chest X-ray data set in the layout of NIH ChestX-ray14. It is not medical data.

    The same arguments give the same files, regardless of the number of processes. The folder is created only when it is
    complete; an error leaves nothing behind. Processes are spawned, so a script must call this under
    `if __name__ == "__main__":`.

    ```python
    write_phantoms("phantoms", images=60, size=96, workers=1)
    ```

    Args:
        out: folder to write, new or empty.
        images: number of images, at least 20.
        size: height and width in pixels, at least 32.
        seed: random seed, at least 0.
        tail: minimum number of positive patients of each finding in each of train, validation and test.
        workers: number of processes, one per CPU core by default. Small data sets are drawn in the calling process.
        overwrite: whether to replace a folder that this function wrote. Other folders are never replaced.
        progress: called with the number of images just written.

    Returns:
        The table, with one row per image; see `phantom_table`.

    Raises:
        ValueError: if an argument is out of range, or there are too few images for `tail`.
        FileExistsError: if `out` is not empty.
        ChildProcessError: if a drawing process dies.
    """
    if size < 32:
        raise ValueError(f"`size` must be at least 32 pixels. Received: size={size}.")
    if workers is not None and workers < 1:
        raise ValueError(f"`workers` must be at least 1. Received: workers={workers}.")
    out = Path(os.path.abspath(out))
    _check_free(out, overwrite)
    table = phantom_table(images, seed, tail)
    out.parent.mkdir(parents=True, exist_ok=True)
    with scratch_folder(out.parent, f".{out.name}-") as folder:
        whole = folder / out.name
        (whole / "images_001" / "images").mkdir(parents=True)
        boxes = _write_images(table, whole / "images_001" / "images", seed, size, workers, progress)
        _write_tables(table, boxes, whole, size)
        facts = {"images": images, "patients": table["patient"].nunique(), "size": size, "seed": seed, "tail": tail}
        _write_text(whole / "README.txt", README.format(**facts))
        _swap(whole, out, folder / "old")
    return table


def _check_free(out, overwrite):
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not is_phantoms(out) or {path.name for path in out.iterdir()} - WRITTEN:
        raise FileExistsError(
            f"{out} contains files that are not phantoms, so it was not changed. Choose a new folder."
        )
    if not overwrite:
        raise FileExistsError(f"{out} already contains phantoms. Choose a new folder, or use `overwrite`.")


def _swap(whole, out, old):
    """Moves the finished folder into place. A previous one is removed together with the temporary folder."""
    if out.exists():
        out.rename(old)
    try:
        whole.rename(out)
    except OSError:
        if old.exists():
            old.rename(out)
        raise


def _specs(table):
    """Returns (image name, `RadiographSpec`) of each row."""
    return [(row.image, _spec(row)) for row in table.itertuples(index=False)]


def _spec(row):
    findings = tuple(finding for finding in FINDINGS if getattr(row, finding))
    frame = float(row.pixels * row.spacing) / MAGNIFICATION
    return RadiographSpec(int(row.patient), int(row.follow_up), findings, row.sex == "F", row.view == "AP", frame)


def _write_images(table, folder, seed, size, workers, progress):
    """Draws and writes all images and returns the boxes of each, in the order of the table."""
    specs = _specs(table)
    chunks = [(specs[i : i + CHUNK], folder, seed, size) for i in range(0, len(specs), CHUNK)]
    drawn = parallel_map(_draw_chunk, chunks, workers, progress and (lambda boxes: progress(len(boxes))))
    return [boxes for chunk in drawn for boxes in chunk]


def _draw_chunk(chunk):
    specs, folder, seed, size = chunk
    boxes = []
    for name, spec in specs:
        drawn = draw(spec, seed, size)
        Image.fromarray(drawn.pixels).save(folder / name, compress_level=1)  # grain does not compress further
        boxes.append(drawn.boxes)
    return boxes


def _write_tables(table, boxes, folder, size):
    """Writes the four tables of the NIH release."""
    labels = [NO_FINDING if not s.findings else "|".join(s.findings) for _, s in _specs(table)]
    columns = {
        "Image Index": table["image"],
        "Finding Labels": labels,
        "Follow-up #": table["follow_up"],
        "Patient ID": table["patient"],
        "Patient Age": table["age"],
        "Patient Gender": table["sex"],
        "View Position": table["view"],
        "OriginalImage[Width": table["pixels"],
        "Height]": table["pixels"],
        "OriginalImagePixelSpacing[x": table["spacing"],
        "y]": table["spacing"],
    }
    _write_text(folder / "Data_Entry_2017.csv", pd.DataFrame(columns).to_csv(index=False, lineterminator="\n"))
    for listed in ("train_val", "test"):
        names = table.loc[table["official_list"] == listed, "image"]
        _write_text(folder / f"{listed}_list.txt", "".join(f"{name}\n" for name in names))
    _write_text(folder / "BBox_List_2017.csv", _box_list(table["image"], boxes, BOX_FRAME / size))


def _box_list(images, boxes, scale):
    lines = ["Image Index,Finding Label,Bbox [x,y,w,h],,,"]
    for image, drawn in zip(images, boxes, strict=True):
        for finding, *box in drawn:
            numbers = ",".join(repr(number * scale) for number in box)
            lines.append(f"{image},{'Infiltrate' if finding == 'Infiltration' else finding},{numbers}")
    return "\n".join(lines) + "\n"


def _write_text(path, text):
    path.write_text(text, encoding="utf-8", newline="\n")

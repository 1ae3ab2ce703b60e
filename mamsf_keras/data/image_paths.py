"""Finds the images of a table by their paths, relative to the data folder or to another root."""

import os
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from mamsf_keras.storage import may_be_file


def find_by_path(images: pd.Series, data_dir: str | Path) -> tuple[pd.Series, tuple[str, ...]]:
    """Finds the file of each image by its path relative to the data folder.

    If no file is found there, the paths may be relative to a different folder, as in the two releases of CheXpert. The
    leading folders that all paths share are then removed one by one or replaced by a subfolder of `data_dir`. A root is
    used only if it is the only one where every image is found.

    Args:
        images: paths of the images in the table.
        data_dir: the data folder.

    Returns:
        The path of each image, NaN where there is none, and a note if a different root was used.
    """
    paths = _existing(images, data_dir, "", "")
    if paths.notna().any() or images.empty:
        return paths, ()
    found = [place for place in _roots(images, data_dir) if _fits(images, data_dir, *place)]
    if len(found) != 1:
        return paths, ()
    paths = _existing(images, data_dir, *found[0])
    return paths, (
        f"image paths in the table are not relative to the data folder: {images.iloc[0]} is {paths.iloc[0]}",
    )


def explain_path(images: pd.Series, data_dir: str | Path) -> tuple[str, ...]:
    """Describes a path of the table and the contents of the data folder, for an error about missing images."""
    names = sorted(os.listdir(data_dir))
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return (
        "The image paths in the table must be relative to `data_dir`.",
        f"The table contains {images.iloc[0]}; the folder contains {shown or 'nothing'}.",
    )


def _roots(images, data_dir) -> Iterator[tuple[str, str]]:
    """Yields leading folders that all images share, with each subfolder that can replace them for the first image."""
    shared = os.path.commonprefix(list(images))
    with os.scandir(data_dir) as entries:
        folders = ["", *sorted(entry.name for entry in entries if entry.is_dir())]
    for root in ("", *(shared[: end + 1] for end, character in enumerate(shared) if character == "/")):
        for folder in folders:
            if may_be_file(_path(images.iloc[0], data_dir, root, folder)):
                yield root, folder


def _fits(images, data_dir, root, folder) -> bool:
    return all(may_be_file(_path(name, data_dir, root, folder)) for name in images)


def _existing(images, data_dir, root, folder) -> pd.Series:
    paths = images.map(lambda name: _path(name, data_dir, root, folder))
    return paths.where(paths.map(may_be_file))


def _path(name, data_dir, root, folder) -> str:
    """Returns the path of an image. Unlike `os.path.join`, it cannot leave the data folder after "a//b"."""
    return os.path.join(data_dir, folder, "") + name.removeprefix(root)

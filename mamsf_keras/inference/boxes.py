"""Boxes of radiologists for images that are predicted, from tables like NIH's `BBox_List_2017.csv`."""

import logging
from collections.abc import Collection
from pathlib import Path

import pandas as pd

from mamsf_keras.data.readers.boxes import BOXES, read_box_table

logger = logging.getLogger(__name__)

FRAME = 1024
"""Height and width of the image, in pixels, that the boxes of a table refer to, regardless of the size of the file."""
LEVELS = 3
"""Number of folders above that of an image that are searched too. NIH's table is two above `images_001/images/`."""

Box = tuple[float, float, float, float]


class RadiologistBoxes:
    """Looks up the boxes of images.

    Args:
        paths: the images that are predicted.
        table: the table; None looks for `BBox_List_2017.csv` in the folders of the images and in up to `LEVELS` folders
            above them.

    Raises:
        FileNotFoundError: if `table` does not exist.
        ValueError: if a table cannot be used.
    """

    def __init__(self, paths: Collection[Path], table: str | Path | None = None) -> None:
        folders = {path.parent for path in paths}
        tables = {folder: Path(table) if table is not None else _find_table(folder) for folder in folders}
        read = {file: _read(file) for file in sorted({file for file in tables.values() if file is not None})}
        self.by_folder = {folder: read[file] for folder, file in tables.items() if file is not None}
        for file, boxes in read.items():
            count = sum(path.name in boxes for path in paths)
            if not count:
                continue
            images = "1 image" if count == 1 else f"{count} images"
            logger.info("radiologists' boxes from %s, in a %d x %d pixel frame, for %s", file, FRAME, FRAME, images)

    def of(self, path: Path, height: int, width: int) -> list[tuple[str, Box]]:
        """Returns the finding and the coordinates of each box of an image.

        Args:
            path: the image.
            height: height of the image file in pixels.
            width: width of the image file in pixels.

        Returns:
            Pairs of a finding and a box: left, top, width and height in pixels of the file.
        """
        rows = self.by_folder.get(path.parent, {}).get(path.name, [])
        x, y = width / FRAME, height / FRAME
        return [(finding, (left * x, top * y, w * x, h * y)) for finding, left, top, w, h in rows]


def _find_table(folder: Path) -> Path | None:
    folder = folder.absolute()
    places = [folder, *folder.parents][: LEVELS + 1]
    return next((place / BOXES for place in places if (place / BOXES).is_file()), None)


def _read(file: Path) -> dict[str, list[tuple]]:
    table: pd.DataFrame = read_box_table(file)
    return {
        str(image): list(rows.drop(columns="image").itertuples(index=False, name=None))
        for image, rows in table.groupby("image")
    }

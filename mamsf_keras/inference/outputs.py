"""Checks the files and the folder that `predict` writes, before any work."""

from collections.abc import Iterable, Mapping
from pathlib import Path


def check_outputs(
    files: Mapping[str, str | Path | None],
    heatmaps: str | Path | None,
    images: Iterable[str | Path],
    overwrite: bool,
) -> None:
    """Checks that every output can be written, and that none is another output or becomes an input.

    Args:
        files: the files to write by the name of their parameter; None for those that are not wanted.
        heatmaps: folder for the panels, or None.
        images: files and folders that are predicted.
        overwrite: whether to replace files, and panels in the folder.

    Raises:
        FileExistsError: if an output exists and must not be replaced.
        FileNotFoundError: if the folder of a file does not exist.
        NotADirectoryError: if the folder for the panels is a file.
        ValueError: if two outputs have the same path, or panels would be predicted as images or replace them.
    """
    given = {name: file for name, file in {**files, "heatmaps": heatmaps}.items() if file is not None}
    _check_different(given)
    for name, file in given.items():
        if name != "heatmaps":
            _check_file(name, file, overwrite)
    if heatmaps is not None:
        _check_panels(Path(heatmaps), overwrite)
        _check_apart(Path(heatmaps), images)


def _check_different(outputs):
    names: dict[Path, str] = {}
    for name, output in outputs.items():
        other = names.setdefault(Path(output).resolve(), name)
        if other != name:
            raise ValueError(f"`{other}` and `{name}` must be different. Received: {output} for both.")


def _check_file(name, file, overwrite):
    if Path(file).is_dir() or (Path(file).exists() and not overwrite):
        raise FileExistsError(f"{file} already exists. Choose another `{name}`, or use `overwrite`.")
    if not Path(file).absolute().parent.is_dir():
        raise FileNotFoundError(f"The folder of {file} does not exist. Create it first.")


def _check_panels(folder, overwrite):
    if not folder.exists():
        return
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file. Set `heatmaps` to a folder.")
    if any(folder.iterdir()) and not overwrite:
        raise FileExistsError(f"{folder} is not empty. Choose another `heatmaps`, or use `overwrite`.")


def _check_apart(folder, images):
    """Raises `ValueError` if the folder for panels is inside a folder of images, or contains one of the images."""
    panels = folder.resolve()
    for image in map(Path, images):
        place = image.resolve() if image.is_dir() else image.parent.resolve()
        if place == panels or (image.is_dir() and place in panels.parents):
            raise ValueError(
                f"`heatmaps` must be outside the folders of the images, or its panels would be predicted as images or "
                f"replace them. Received: {folder}, with images from {image}."
            )

"""The output folder of an export: a staging area inside it, the version, and the renames that publish a version."""

import contextlib
import dataclasses
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mamsf_keras.evaluation.results import versions
from mamsf_keras.export.description import EXTRA
from mamsf_keras.export.formats import FORMATS
from mamsf_keras.export.results import SCHEMA_VERSION, Exported, parity_table
from mamsf_keras.storage import exclusive_lock, scratch_folder, write_json

STAGING_PREFIX = ".export-"


@dataclasses.dataclass(frozen=True)
class Staging:
    """The unfinished version.

    Attributes:
        out: the output folder.
        version: the number that the version will have.
        files: folder of what will be moved to `out`.
        work: folder of what will be removed.
    """

    out: Path
    version: int
    files: Path
    work: Path

    @property
    def stem(self) -> str:
        """The start of the file names of this version."""
        return f"{self.out.name}-{self.version}"

    def path_of(self, name: str) -> Path:
        """Returns where a format is written until it is published."""
        pattern = FORMATS[name].file_name if name in FORMATS else name
        return self.files / pattern.format(model=self.out.name, version=self.version)


@contextlib.contextmanager
def staging(out: str | Path) -> Iterator[Staging]:
    """Holds the lock of an output folder and makes a staging area in it, on the same file system.

    Leftovers of killed exports are removed first. The staging area is removed afterwards, and so is `out` if it was
    created here and is still empty.

    Raises:
        NotADirectoryError: if `out` is a file.
        BlockingIOError: if another process exports to `out`.
    """
    out = Path(out).resolve()
    if out.exists() and not out.is_dir():
        raise NotADirectoryError(f"{out} is a file. Set `out` to a folder.")
    made = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    try:
        with exclusive_lock(out):
            remove_leftovers(out)
            with scratch_folder(out, STAGING_PREFIX) as scratch:
                folder = Staging(out, next_version(out), scratch / "files", scratch / "work")
                folder.files.mkdir()
                folder.work.mkdir()
                yield folder
    finally:
        if made and {path.name for path in out.iterdir()} <= {".lock"}:
            shutil.rmtree(out)


def remove_leftovers(out: Path) -> None:
    """Removes the staging areas of killed exports. This process must hold the lock of the folder.

    `scratch_folder` removes only areas that have a lock file. A worker that outlived its parent may have created an
    area again without one.
    """
    for path in out.glob(STAGING_PREFIX + "[0-9a-f]" * 8):
        shutil.rmtree(path, ignore_errors=True)


def next_version(out: Path) -> int:
    """Returns the version after the highest one in a folder, of any format."""
    pattern = re.compile(rf"(\d+)|{re.escape(out.name)}-(\d+)[-.].*")
    found = [match for path in out.iterdir() if (match := pattern.fullmatch(path.name))]
    return max((int(match[1] or match[2]) for match in found), default=0) + 1


def write_documents(folder: Staging, source: Any, exported: Mapping[str, Exported], keras: Mapping[str, Any]) -> None:
    """Writes `parity.json` and, for a run, the model card, which also goes into the SavedModel and Keras folders."""
    formats = {name: result.to_dict() for name, result in exported.items()}
    summary = {"schema_version": SCHEMA_VERSION, "operating_point": source.operating_point, "versions": versions()}
    write_json(folder.files / f"{folder.stem}.parity.json", {**summary, "keras": keras, "formats": formats})
    if source.card is None:
        return
    from mamsf_keras.export.card_text import card_text

    text = card_text(source.card, folder.stem, parity_table(exported, keras))
    names = [(folder.files, f"{folder.stem}.MODEL_CARD.md", f"{folder.stem}.model_card.json")]
    if "saved-model" in exported:
        names.append((folder.path_of("saved-model") / EXTRA, "MODEL_CARD.md", "model_card.json"))
    if "keras" in exported:
        names.append((folder.path_of("keras"), "README.md", "model_card.json"))
    for place, markdown, structured in names:
        (place / markdown).write_text(text, encoding="utf-8")
        write_json(place / structured, source.card)


def publish(folder: Staging, exported: Mapping[str, Exported]) -> dict[str, Exported]:
    """Flushes the files to disk and moves them to the output folder; the one that servers look for comes last."""
    for path in folder.files.rglob("*"):
        if path.is_file():
            with open(path, "rb") as file:
                os.fsync(file.fileno())
    for path in sorted(folder.files.iterdir(), key=lambda path: path.name.isdecimal()):
        path.rename(folder.out / path.name)
    return {name: dataclasses.replace(result, path=folder.out / result.path.name) for name, result in exported.items()}

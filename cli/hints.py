"""Hints and checks that several commands share."""

import contextlib
import dataclasses
import shlex
from pathlib import Path

import click

from mamsf_keras.cli.config_options import flatten
from mamsf_keras.config import DataConfig, LabelsCsv
from mamsf_keras.run_dir import RunDir


@contextlib.contextmanager
def hint_at_unreadable_images(data: DataConfig):
    """Extends the error about unreadable images with the command that leaves them out."""
    from mamsf_keras.data.cache.prepare import UnreadableImages

    try:
        yield
    except UnreadableImages as error:
        command = prepare_command(data, error.cache_dir, error.image_size)
        raise ValueError(f"{error} The command is: {command} --allow-rejected {error.count}") from error


def run_data(run_dir, data_dir, allow_missing) -> DataConfig:
    """Returns the data of a run, or of the same run on another data folder."""
    from mamsf_keras.data.open import relocated

    return relocated(RunDir.open(run_dir).config, data_dir, allow_missing)


def prepare_command(data: DataConfig, cache_dir, image_size) -> str:
    """Returns the command line that prepares a cache."""
    words = ["mamsf-keras", "prepare", "--data-dir", data.data_dir]
    words += ["--allow-missing", str(data.allow_missing)] if data.allow_missing else []
    if data.labels_csv:
        defaults = dataclasses.asdict(LabelsCsv(data.labels_csv.path))
        changed = {
            name: value for name, value in dataclasses.asdict(data.labels_csv).items() if value != defaults[name]
        }
        for name, value in flatten({"labels_csv": {"path": data.labels_csv.path, **changed}}).items():
            words += [f"--{name.replace('_', '-')}", ",".join(value) if isinstance(value, tuple) else value]
    return shlex.join([*words, "--cache-dir", str(cache_dir), "--image-size", str(image_size)])


def check_new_file(out, overwrite):
    """Raises an error if a file exists and must not be overwritten, or if its folder does not exist."""
    if Path(out).exists() and not overwrite:
        raise click.ClickException(f"{out} already exists. Choose another name, or use --overwrite.")
    if not Path(out).absolute().parent.is_dir():
        raise click.ClickException(f"The folder of {out} does not exist. Create it first.")

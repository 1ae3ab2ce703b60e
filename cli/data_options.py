"""The options that select images, labels and splits: the fields of `DataConfig`."""

import contextlib
import shlex
from pathlib import Path

import click

from mamsf_keras.config import CHOICES, LABEL_OPTIONS, DataConfig


class Names(click.ParamType):
    """Comma-separated names."""

    name = "A,B,..."

    def convert(self, value, param, ctx):
        if not isinstance(value, str):
            return value
        names = tuple(name.strip() for name in value.split(",") if name.strip())
        return names or self.fail(f"{value!r} contains no name.", param, ctx)


DATA_OPTIONS = (
    click.option("--data-dir", type=click.Path(), help="NIH folder, that of --labels-csv, or a cache.  [required]"),
    click.option(
        "--labels-csv",
        type=click.Path(),
        help="Table of image paths (below --data-dir) and label columns, in place of the NIH tables.",
    ),
    click.option("--label-columns", type=Names(), help="Its label columns.  [default: all of 1, 0, -1 and blanks]"),
    click.option("--image-column", metavar="NAME", help="Its column of paths.  [default: a known name]"),
    click.option("--patient-column", metavar="NAME", help="Its column of patients.  [default: a known name]"),
    click.option("--blank", type=click.Choice(CHOICES["blank"]), help="What a blank label is.  [default: mask]"),
    click.option("--uncertain", type=click.Choice(CHOICES["uncertain"]), help="What -1 is.  [default: mask]"),
)

allow_missing_option = click.option(
    "--allow-missing/--no-allow-missing", default=None, help="Leave out images whose files are absent."
)
protocol_option = click.option(
    "--protocol",
    metavar="official|random-patient|disease-only|file:PATH",
    help="How the images are split; PATH is a CSV of `image,split`.  [default: official]",
)


def data_options(command):
    """Adds the options to a command, in their order."""
    for option in reversed(DATA_OPTIONS):
        command = option(command)
    return command


def given(options) -> dict:
    """Returns the options that were given."""
    return {name: value for name, value in options.items() if value is not None}


def config_of(config_class, **options):
    """Builds a configuration from the options that were given. A bad value is a usage error."""
    context = click.get_current_context()
    if options.get("data_dir") is None:
        raise click.UsageError("Missing option '--data-dir'.", context)
    try:
        return config_class(**given(options))
    except ValueError as error:
        raise click.UsageError(str(error), context) from error


@contextlib.contextmanager
def hint_at_unreadable_images(data: DataConfig):
    """Adds to the error about unreadable images the command that leaves them out."""
    from mamsf_keras.data.cache.prepare import UnreadableImages

    try:
        yield
    except UnreadableImages as error:
        command = prepare_command(data, error.cache_dir, error.image_size)
        raise ValueError(f"{error} The command is: {command} --allow-rejected {error.count}") from error


def prepare_command(data: DataConfig, cache_dir, image_size) -> str:
    """Returns the command line that prepares a cache."""
    options = {name: getattr(data, name) for name in ("data_dir", "labels_csv")}
    options |= {name: value for name, default in LABEL_OPTIONS.items() if (value := getattr(data, name)) != default}
    options |= {"cache_dir": cache_dir, "image_size": image_size}
    words = ["mamsf-keras", "prepare", *(["--allow-missing"] if data.allow_missing else [])]
    for name, value in options.items():
        if value is not None:
            words += [f"--{name.replace('_', '-')}", ",".join(value) if isinstance(value, tuple) else str(value)]
    return shlex.join(words)


def check_new_file(out, overwrite):
    """Raises an error if a file exists and must not be replaced, or if its folder does not exist."""
    if Path(out).exists() and not overwrite:
        raise click.ClickException(f"{out} exists: use --overwrite, or another name.")
    if not Path(out).absolute().parent.is_dir():
        raise click.ClickException(f"The folder of {out} does not exist: create it first.")

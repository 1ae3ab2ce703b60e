"""The options that say which images, labels and parts a command works on: the fields of `DataConfig`."""

from pathlib import Path

import click

from mamsf_keras.config import CHOICES


class Names(click.ParamType):
    """Comma-separated names."""

    name = "A,B,..."

    def convert(self, value, param, ctx):
        if not isinstance(value, str):
            return value
        names = tuple(name.strip() for name in value.split(",") if name.strip())
        return names or self.fail(f"{value!r} names nothing.", param, ctx)


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
    "--allow-missing/--no-allow-missing", default=None, help="Go on without images that are not there."
)
protocol_option = click.option(
    "--protocol",
    metavar="official|random-patient|disease-only|file:PATH",
    help="How the images are split; PATH is a CSV of `image,split`.  [default: official]",
)


def data_options(command):
    """Adds the options, in their order."""
    for option in reversed(DATA_OPTIONS):
        command = option(command)
    return command


def given(options) -> dict:
    """Keeps the options that were given."""
    return {name: value for name, value in options.items() if value is not None}


def config_of(config_class, **options):
    """Builds a configuration from the options that were given; a bad value is a usage error."""
    if options.get("data_dir") is None:
        raise click.UsageError("Missing option '--data-dir'.")
    try:
        return config_class(**given(options))
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def check_new_file(out, overwrite):
    """Refuses a file that exists, unless it may be replaced, or whose folder does not."""
    if Path(out).exists() and not overwrite:
        raise click.ClickException(f"{out} exists: use --overwrite, or another name.")
    if not Path(out).absolute().parent.is_dir():
        raise click.ClickException(f"The folder of {out} does not exist: make it first.")

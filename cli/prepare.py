"""`mamsf-keras prepare`."""

import shlex

import click
from mamsf_keras.cli.data_options import allow_missing_option, config_of, data_options

from mamsf_keras.config import DataConfig


@click.command(name="prepare")
@data_options
@allow_missing_option
@click.option("--cache-dir", required=True, type=click.Path(), help="Folder to write, new or of a run to go on with.")
@click.option(
    "--image-size", type=click.IntRange(32), default=224, show_default=True, help="Height and width in pixels."
)
@click.option("--workers", type=click.IntRange(1), help="Processes.  [default: one a processor]")
@click.option(
    "--allow-rejected",
    metavar="N",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Unreadable to leave out.",
)
def command(cache_dir, image_size, workers, allow_rejected, **options):
    """Decode every image once into a cache that trains at memory speed.

    A run that was stopped, by whatever, goes on where it was; a finished cache is checked and mended. Afterwards the
    cache stands in for the data folder.

    \b
    Examples:
      mamsf-keras prepare --data-dir ChestX-ray14 --cache-dir nih224 --image-size 224
      mamsf-keras train --data-dir nih224 --image-size 224
      mamsf-keras prepare --data-dir . --labels-csv CheXpert/train.csv --cache-dir chexpert224
    """
    from mamsf_keras.data.prepare import prepare

    data = config_of(DataConfig, **options)
    try:
        meta = prepare(data, cache_dir, image_size, workers, allow_rejected, verify=True)
    except KeyboardInterrupt:
        click.echo("stopped; to go on: the same command", err=True)
        raise
    for note in meta["notes"]:
        click.echo(note)
    protocol = " --protocol random-patient" if options["labels_csv"] else ""  # without official lists
    click.echo(
        f"{meta['images']} images, {meta['rejected']} rejected, {meta['images'] * image_size**2 / 2**20:.0f} MiB: "
        f"{cache_dir}\nnext: mamsf-keras train --data-dir {shlex.quote(cache_dir)} --image-size {image_size}{protocol}"
    )

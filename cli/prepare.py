"""`mamsf-keras prepare`."""

import dataclasses
import shlex

import click

from mamsf_keras.cli.config_options import allowance_option, build_config, config_options, quiet_option
from mamsf_keras.cli.hints import hint_at_unreadable_images
from mamsf_keras.config import DataConfig


@click.command(name="prepare", short_help="Decode all images once into a cache.")
@click.option("--data-dir", metavar="DIR", help="Data folder: NIH ChestX-ray14, or the images of --labels-csv.")
@config_options(DataConfig, leave_out=["data_dir", "protocol"])
@click.option("--cache-dir", required=True, type=click.Path(), help="Cache folder to create or complete.")
@click.option(
    "--image-size",
    type=click.IntRange(32),
    default=224,
    show_default=True,
    help="Height and width of the images in pixels.",
)
@click.option("--workers", type=click.IntRange(1), help="Number of worker processes.  [default: one per CPU core]")
@allowance_option("--allow-rejected", help="Leave out unreadable images", default=0, show_default=True)
@quiet_option
def command(cache_dir, image_size, workers, allow_rejected, **options):
    """Decode all images once into a memory-mapped cache for training.

    Run the same command again to resume an interrupted preparation, or to check and repair a finished cache. The
    other commands accept the cache as --data-dir. This command needs the original images, so its own --data-dir cannot
    be a cache.

    Examples:

    \b
        mamsf-keras prepare --data-dir ChestX-ray14 --cache-dir nih224 --image-size 224
        mamsf-keras train --data-dir nih224 --image-size 224
        mamsf-keras prepare --data-dir . --labels-csv CheXpert/train.csv --cache-dir chexpert224
    """
    from mamsf_keras.data.cache.prepare import prepare
    from mamsf_keras.data.open import open_dataset

    data = dataclasses.replace(build_config(DataConfig, options), protocol=None)
    try:
        with hint_at_unreadable_images(data):
            dataset = prepare(
                open_dataset(data),
                cache_dir,
                image_size,
                workers=workers,
                allow_rejected=allow_rejected,
                verify=True,
            )
    except KeyboardInterrupt:
        click.echo("stopped; to resume, run the same command again", err=True)
        raise
    for note in dataset.notes:
        click.echo(note)
    protocol = " --protocol random-patient" if options["labels_csv"] else ""  # a label table has no official split
    click.echo(f"next: mamsf-keras train --data-dir {shlex.quote(cache_dir)} --image-size {image_size}{protocol}")

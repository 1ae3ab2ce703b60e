"""`mamsf-keras preview`."""

import click
from mamsf_keras.cli.data_options import allow_missing_option, check_new_file, config_of, data_options, protocol_option

from mamsf_keras.config import CHOICES, PARTS, DataConfig


@click.command(name="preview")
@data_options
@allow_missing_option
@protocol_option
@click.option("--out", required=True, type=click.Path(dir_okay=False), help="PNG file to write.")
@click.option("--augment", type=click.Choice(CHOICES["augment"]), default="light", show_default=True)
@click.option("--split", "part", type=click.Choice(PARTS), default="train", show_default=True, help="Part.")
@click.option("--image-size", type=click.IntRange(32), help="Height and width, pixels.  [default: a cache's, or 224]")
@click.option("--images", type=click.IntRange(1, 50), default=6, show_default=True, help="Rows of the sheet.")
@click.option(
    "--versions", type=click.IntRange(1, 20), default=4, show_default=True, help="Augmented versions of each."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of images and augmentation.")
@click.option("--overwrite", is_flag=True, help="Replace the file.")
def command(out, augment, part, image_size, images, versions, seed, overwrite, **options):
    """Draw a contact sheet of images as training sees them, with their findings.

    \b
    Example:
      mamsf-keras preview --data-dir phantoms --out preview.png
    """
    check_new_file(out, overwrite)
    from mamsf_keras.data.preview import preview

    preview(config_of(DataConfig, **options), out, image_size, augment, images, versions, part, seed)
    click.echo(f"written: {out}")

"""`mamsf-keras preview`."""

import click

from mamsf_keras.cli.config_options import build_config, config_options, quiet_option
from mamsf_keras.cli.hints import check_new_file
from mamsf_keras.config import AUGMENTATIONS, SPLITS, DataConfig, TrainConfig


@click.command(name="preview", short_help="Draw a contact sheet of augmented images.")
@config_options(DataConfig)
@click.option("--out", required=True, type=click.Path(dir_okay=False), help="PNG file to write.")
@click.option(
    "--augment",
    type=click.Choice(AUGMENTATIONS),
    default="light",
    show_default=True,
    help=TrainConfig.__dataclass_fields__["augment"].metadata["help"],
)
@click.option(
    "--split",
    type=click.Choice(SPLITS),
    default="train",
    show_default=True,
    help="Split from which the images are taken.",
)
@click.option(
    "--image-size",
    type=click.IntRange(32),
    help="Height and width of the images in pixels.  [default: the image size of the cache, or 224]",
)
@click.option(
    "--images", type=click.IntRange(1, 50), default=6, show_default=True, help="Number of images, one per row."
)
@click.option(
    "--versions",
    type=click.IntRange(1, 20),
    default=4,
    show_default=True,
    help="Number of augmented versions of each image.",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Random seed for choosing and augmenting the images.",
)
@click.option("--overwrite", is_flag=True, help="Overwrite the --out file.")
@quiet_option
def command(out, overwrite, **options):
    """Draw a contact sheet of images as the model sees them in training, labeled with their findings.

    Each row shows one image and several augmented versions of it.

    Example:

    \b
        mamsf-keras preview --data-dir phantoms --out preview.png
    """
    check_new_file(out, overwrite)
    from mamsf_keras.reports.contact_sheet import write_contact_sheet

    names = ("augment", "split", "image_size", "images", "versions", "seed")
    sheet = {name: options.pop(name) for name in names}
    write_contact_sheet(build_config(DataConfig, options), out, **sheet)
    click.echo(f"written: {out}")

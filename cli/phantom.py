"""`mamsf-keras phantom`."""

import shlex

import click

from mamsf_keras.cli.config_options import quiet_option


@click.command(name="phantom", short_help="Generate a synthetic data set to try out the software.")
@click.option(
    "--out",
    required=True,
    type=click.Path(),
    help="Output folder. Must be new or empty, or a folder of phantoms if --overwrite is given.",
)
@click.option("--images", type=click.IntRange(20), default=2600, show_default=True, help="Number of images.")
@click.option(
    "--size", type=click.IntRange(32), default=256, show_default=True, help="Height and width of the images in pixels."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Random seed.")
@click.option(
    "--tail",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Minimum number of patients with each finding in each split.",
)
@click.option("--workers", type=click.IntRange(1), help="Number of worker processes.  [default: one per CPU core]")
@click.option(
    "--overwrite", is_flag=True, help="Replace an existing folder of phantoms. Other folders are never replaced."
)
@quiet_option
def command(out, images, **options):
    """Generate a synthetic chest X-ray data set in the NIH layout. NOT medical data.

    Every image is a drawing that shows findings by their radiographic signs. Label frequencies follow the NIH table,
    and bounding boxes are exact. Use the data set to try out and test the software. Scores on it have no clinical
    meaning.

    Example:

    \b
        mamsf-keras phantom --out phantoms --images 2600 --size 96 --tail 5
    """
    from tqdm import tqdm

    from mamsf_keras.phantoms import write_phantoms

    with tqdm(total=images, desc="drawing", unit=" images", delay=1) as bar:
        table = write_phantoms(out, images, **options, progress=bar.update)
    few = " (for useful scores, use --images 2600 --size 96 --tail 5)" if images < 500 else ""
    click.echo(
        f"phantoms, not medical data: {out}\n"
        f"{len(table)} images of {table['patient'].nunique()} patients\n"
        f"next: mamsf-keras train --data-dir {shlex.quote(out)} --preset demo{few}"
    )

"""`mamsf-keras prepare`."""

import os
import sys

import click


@click.command(name="prepare")
@click.option("--data-dir", required=True, type=click.Path(), help="NIH folder: tables and images.")
@click.option("--cache-dir", required=True, type=click.Path(), help="Folder to write, new or of a run to go on with.")
@click.option(
    "--image-size", type=click.IntRange(32), default=224, show_default=True, help="Height and width in pixels."
)
@click.option("--workers", type=click.IntRange(1), help="Processes.  [default: one a processor]")
@click.option("--allow-missing", is_flag=True, help="Go on without the images that are not there.")
@click.option(
    "--allow-rejected", metavar="N", type=click.IntRange(0), default=0, help="Unreadable images to leave out."
)
def command(data_dir, cache_dir, **options):
    """Decode every image once into a cache that trains at memory speed.

    A run that was stopped, by whatever, goes on where it was. Afterwards the cache stands in for the data folder.

    \b
    Example:
      mamsf-keras prepare --data-dir ChestX-ray14 --cache-dir nih224 --image-size 224
      mamsf-keras train --data-dir nih224 --image-size 224
    """
    from mamsf_keras.data.cache import prepare

    with click.progressbar(length=1, label="Preparing", file=sys.stderr, show_pos=True) as bar:

        def progress(done, total):
            bar.length = total
            bar.update(done)

        meta = prepare(data_dir, cache_dir, **options, progress=progress)
    size = sum(os.path.getsize(os.path.join(cache_dir, "shards", name)) for name in meta["shards"])
    click.echo(
        f"{meta['images']} images, {meta['rejected']} rejected, {size / 2**20:.0f} MiB: {cache_dir}\n"
        f"next: mamsf-keras train --data-dir {cache_dir} --image-size {meta['image_size']}"
    )

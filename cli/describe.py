"""`mamsf-keras describe`."""

from pathlib import Path

import click

from mamsf_keras.cli.data_options import check_new_file, config_of, data_options, protocol_option
from mamsf_keras.config import DataConfig


@click.command(name="describe")
@data_options
@protocol_option
@click.option("--out", type=click.Path(dir_okay=False), help="HTML page to write, with plots.")
@click.option("--overwrite", is_flag=True, help="Replace the page.")
def command(out, overwrite, **options):
    """Describe a data set: counts, splits, patients, co-occurrence, image sizes, duplicates.

    Images that are missing or damaged are counted.

    \b
    Examples:
      mamsf-keras describe --data-dir phantoms
      mamsf-keras describe --data-dir ChestX-ray14 --protocol random-patient --out data.html
    """
    if out:
        check_new_file(out, overwrite)
    config = config_of(DataConfig, **options)
    from mamsf_keras.reports.dataset import as_text, describe

    description = describe(config)
    click.echo(as_text(description))
    if out:
        from mamsf_keras.reports.dataset_page import write_dataset_page

        write_dataset_page(description, Path(config.data_dir).name, out)
        click.echo(f"\nwritten: {out}")

"""`mamsf-keras describe`."""

from pathlib import Path

import click

from mamsf_keras.cli.config_options import build_config, config_options, quiet_option
from mamsf_keras.cli.hints import check_new_file
from mamsf_keras.config import DataConfig


@click.command(name="describe", short_help="Describe a data set, with plots if --out is given.")
@config_options(DataConfig, leave_out=["allow_missing"])
@click.option("--out", type=click.Path(dir_okay=False), help="HTML report to write, with plots.")
@click.option("--overwrite", is_flag=True, help="Overwrite the --out file.")
@quiet_option
def command(out, overwrite, **options):
    """Describe a data set: counts, splits, patients, co-occurrence, image sizes and duplicates.

    Counts missing and damaged images, and names findings that cannot be learned or scored. All original images are
    decoded, which takes as long as preparing them; a cache needs no decoding.

    Examples:

    \b
        mamsf-keras describe --data-dir phantoms
        mamsf-keras describe --data-dir ChestX-ray14 --protocol random-patient --out data.html
    """
    if out:
        check_new_file(out, overwrite)
    config = build_config(DataConfig, options)
    from mamsf_keras.reports.dataset import as_text, describe

    description = describe(config)
    click.echo(as_text(description))
    if out:
        from mamsf_keras.reports.dataset_page import write_dataset_page

        write_dataset_page(description, Path(config.data_dir).name, out)
        click.echo(f"\nwritten: {out}")

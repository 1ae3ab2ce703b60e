"""`mamsf-keras export`."""

import click

from mamsf_keras.cli.backend import load_keras, use_backend
from mamsf_keras.cli.config_options import allowance_option, quiet_option
from mamsf_keras.cli.hints import hint_at_unreadable_images, run_data
from mamsf_keras.config import FORMATS


@click.command(name="export", short_help="Export a run as SavedModel and TFLite.")
@click.option("--run-dir", required=True, type=click.Path(), help="Folder of a run.")
@click.option(
    "--format", "formats", multiple=True, type=click.Choice(FORMATS), help="Format; may be repeated.  [default: both]"
)
@click.option(
    "--out", default="saved_models/mamsf", show_default=True, type=click.Path(), help="Folder for the models."
)
@click.option("--data-dir", type=click.Path(), help="Data folder for the comparison.  [default: that of the run]")
@allowance_option("--allow-missing", help="Missing images to leave out.  [default: that of the run]")
@quiet_option
def command(run_dir, formats, out, data_dir, allow_missing):
    """Export the best model of a run as SavedModel (OUT/VERSION/) and TFLite (OUT/NAME-VERSION.tflite).

    Each file is compared with Keras on validation images and published only if it agrees. Export runs on TensorFlow,
    regardless of the backend that the run was trained on. Not a medical device.

    Example:

    \b
        mamsf-keras export --run-dir runs/demo --out saved_models/mamsf
    """
    use_backend("tensorflow")
    load_keras()
    from mamsf_keras.export.export import export_run

    with hint_at_unreadable_images(run_data(run_dir, data_dir, allow_missing)):
        exported = export_run(run_dir, out, formats or FORMATS, data_dir, allow_missing)
    for name, (path, parity) in exported.items():
        click.echo(f"{name}: {path}\n  {parity}")

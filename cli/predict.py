"""`mamsf-keras predict`."""

import contextlib
import importlib
import importlib.util

import click

from mamsf_keras.cli.backend import backend_option, filtered_stderr, load_keras
from mamsf_keras.cli.config_options import Names, quiet_option

OPERATING_POINTS = ("youden", "sensitivity_90", "f1")


@click.command(name="predict", short_help="Predict images with a run, an export or a server.")
@click.argument("images", nargs=-1, required=True, type=click.Path(), metavar="IMAGE|FOLDER...")
@click.option("--run-dir", type=click.Path(), help="Run folder.")
@click.option("--model", type=click.Path(), metavar="EXPORT", help="SavedModel version, .tflite, .onnx or .keras.")
@click.option("--server", metavar="URL", help="grpc://HOST:PORT or http://HOST:PORT of a server, with /NAME.")
@click.option("--json", "json_file", type=click.Path(), help="JSON file to write, with everything.")
@click.option("--csv", "csv_file", type=click.Path(), help="CSV file to write, one row per readable image.")
@click.option("--heatmaps", type=click.Path(), metavar="DIR", help="Folder for a panel per image.")
@click.option("--findings", type=Names(), help="Findings in the panels.  [default: the three most probable]")
@click.option("--boxes", type=click.Path(), metavar="FILE", help="Table of boxes.  [default: found near the images]")
@click.option("--operating-point", type=click.Choice(OPERATING_POINTS), help="Of a run.  [default: youden]")
@click.option("--image-size", type=click.IntRange(1), metavar="N", help="In pixels, for a model that accepts any size.")
@click.option(
    "--batch-size", type=click.IntRange(1), default=32, show_default=True, metavar="N", help="Images per call."
)
@click.option("--overwrite", is_flag=True, help="Replace the files.")
@backend_option
@quiet_option
def command(images, **options):
    """Predict image files (PNG, JPEG, DICOM) and all images in folders.

    Prints a table. An image that cannot be read is named, the others are predicted, and the exit status is 1. Not a
    medical device.

    Examples:

    \b
        mamsf-keras predict chest.png --run-dir runs/demo --heatmaps panels
        mamsf-keras predict images --model saved_models/mamsf/1 --csv predictions.csv
        mamsf-keras predict images --server grpc://localhost:8500 --json predictions.json
    """
    load_libraries(**options)
    from mamsf_keras.inference.predict import predict
    from mamsf_keras.inference.records import NOTICE
    from mamsf_keras.inference.table import predictions_table

    summary = predict(images, **options)
    click.echo(predictions_table(summary.records, summary.predicted, summary.operating_point))
    written = [str(options[name]) for name in ("json_file", "csv_file", "heatmaps") if options[name]]
    if written:
        click.echo(f"written: {', '.join(written)}")
    click.echo(NOTICE)
    if summary.failed:
        raise click.ClickException(
            f"{summary.failed} of {summary.failed + summary.predicted} could not be read; they are named above."
        )


def load_libraries(run_dir, model, server, **_):
    """Imports Keras or TensorFlow, without their startup messages, if they are needed."""
    if run_dir or (model and not str(model).endswith((".tflite", ".onnx"))):
        load_keras()
    elif server and server.startswith("grpc://") and importlib.util.find_spec("tensorflow_serving"):
        with filtered_stderr(), contextlib.suppress(ImportError):
            importlib.import_module("tensorflow_serving.apis.prediction_service_pb2_grpc")

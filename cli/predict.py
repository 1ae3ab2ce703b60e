"""`mamsf-keras predict`."""

import contextlib
import importlib
import importlib.util

import click

from mamsf_keras.cli.backend import backend_option, filtered_stderr, load_keras
from mamsf_keras.cli.config_options import Names, operating_point_option, quiet_option
from mamsf_keras.config import NOTICE


@click.command(name="predict", short_help="Make predictions for images with a run, an export or a server.")
@click.argument("images", nargs=-1, required=True, type=click.Path(), metavar="IMAGE|FOLDER...")
@click.option("--run-dir", type=click.Path(), help="Run folder. Its best model makes the predictions.")
@click.option(
    "--model",
    type=click.Path(),
    metavar="EXPORT",
    help="Exported model: the folder of a SavedModel version, a .tflite, .onnx or .keras file, or a folder in Keras "
    "format.",
)
@click.option(
    "--server",
    metavar="URL",
    help="URL of a TensorFlow Serving server: grpc://HOST:PORT, http://HOST:PORT or https://HOST:PORT, followed by "
    "/NAME if the model is not named mamsf.",
)
@click.option("--json", "json_file", type=click.Path(), help="JSON file to write, with all results.")
@click.option("--csv", "csv_file", type=click.Path(), help="CSV file to write, with one row per readable image.")
@click.option(
    "--heatmaps",
    type=click.Path(),
    metavar="DIR",
    help="Folder for the heatmaps, one PNG file per image. Requires --run-dir, a .keras file or a folder in Keras "
    "format.",
)
@click.option("--findings", type=Names(), help="Findings to show in the heatmaps.  [default: the three most probable]")
@click.option(
    "--boxes",
    type=click.Path(),
    metavar="FILE",
    help="Table of radiologists' bounding boxes to draw in the heatmaps.  [default: BBox_List_2017.csv in the "
    "folder of each image or in one of the three folders above it]",
)
@operating_point_option(None, "Requires --run-dir; exports have fixed thresholds.  [default: youden]")
@click.option(
    "--image-size",
    type=click.IntRange(1),
    metavar="N",
    help="Height and width of the images in pixels, for models that accept any size.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    default=32,
    show_default=True,
    metavar="N",
    help="Number of images per batch.",
)
@click.option("--overwrite", is_flag=True, help="Overwrite the --json and --csv files and the files in --heatmaps.")
@backend_option
@quiet_option
def command(images, **options):
    """Predict findings in image files (PNG, JPEG, DICOM) and in all images in folders.

    Prints a table of probabilities. If an image cannot be read, it is reported as an error, predictions for the other
    images are still made, and the exit status is 1.

    Not a medical device. For research and engineering only; do not use it for diagnosis or treatment.

    Examples:

    \b
        mamsf-keras predict chest.png --run-dir runs/demo --heatmaps panels
        mamsf-keras predict images --model saved_models/mamsf/1 --csv predictions.csv
        mamsf-keras predict images --server grpc://localhost:8500 --json predictions.json
    """
    load_libraries(**options)
    from mamsf_keras.inference.predict import predict
    from mamsf_keras.inference.table import predictions_table

    summary = predict(images, **options)
    click.echo(predictions_table(summary.records, summary.predicted, summary.operating_point))
    written = [str(options[name]) for name in ("json_file", "csv_file", "heatmaps") if options[name]]
    if written:
        click.echo(f"written: {', '.join(written)}")
    click.echo(NOTICE)
    if summary.failed:
        raise click.ClickException(
            f"{summary.failed} of {summary.failed + summary.predicted} inputs could not be read; see above."
        )


def load_libraries(run_dir, model, server, **_):
    """Imports Keras or TensorFlow if needed, without their startup messages."""
    if run_dir or (model and not str(model).endswith((".tflite", ".onnx"))):
        load_keras()
    elif server and server.startswith("grpc://") and importlib.util.find_spec("tensorflow_serving"):
        with filtered_stderr(), contextlib.suppress(ImportError):
            importlib.import_module("tensorflow_serving.apis.prediction_service_pb2_grpc")

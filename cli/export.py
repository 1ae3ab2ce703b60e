"""`mamsf-keras export`."""

import click

from mamsf_keras.cli.backend import load_keras
from mamsf_keras.cli.config_options import allowance_option, operating_point_option, quiet_option
from mamsf_keras.cli.hints import hint_at_unreadable_images, run_data
from mamsf_keras.config import DEFAULT_FORMATS, FORMATS, QUANTIZATIONS


@click.command(name="export", short_help="Export a run as SavedModel, TFLite, ONNX or Keras.")
@click.option("--run-dir", required=True, type=click.Path(), help="Run folder. Its best model is exported.")
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(FORMATS),
    help=f"Export format; may be repeated.  [default: {' and '.join(DEFAULT_FORMATS)}]",
)
@click.option(
    "--quantize",
    multiple=True,
    type=click.Choice(QUANTIZATIONS),
    help="Quantization of TFLite models: float16 weights (float16), int8 weights (dynamic), or int8 weights and "
    "activations (int8). May be repeated; each value writes one file.  [default: none]",
)
@operating_point_option("youden", "Used for the output named positive.")
@click.option(
    "--out",
    default="saved_models/mamsf",
    show_default=True,
    type=click.Path(),
    help="Output folder for the exports. Its name is the NAME of the model.",
)
@click.option(
    "--data-dir", type=click.Path(), help="Data folder, or a cache of it.  [default: the data folder of the run]"
)
@allowance_option("--allow-missing", help="Leave out missing images", unset="the value used by the run")
@quiet_option
def command(run_dir, out, formats, data_dir, allow_missing, quantize, operating_point):
    """Export the best model of a run.

    \b
    saved-model  OUT/VERSION/, for TensorFlow Serving
    tflite       OUT/NAME-VERSION.tflite, for LiteRT on phones
    onnx         OUT/NAME-VERSION.onnx, for ONNX Runtime
    keras        OUT/NAME-VERSION-keras/, for Hugging Face

    Each export is compared with the Keras model on the validation split and published only if the outputs agree.
    Conversions run on TensorFlow, regardless of the backend that the run was trained on.

    Not a medical device. For research and engineering only; do not use it for diagnosis or treatment.

    Examples:

    \b
        mamsf-keras export --run-dir runs/demo --out saved_models/mamsf
        mamsf-keras export --run-dir runs/demo --format tflite --quantize float16
    """
    load_keras()
    from mamsf_keras.export.export import export_run

    with hint_at_unreadable_images(run_data(run_dir, data_dir, allow_missing)):
        exported = export_run(
            run_dir,
            out,
            formats or DEFAULT_FORMATS,
            data_dir,
            allow_missing,
            quantize=quantize or ("none",),
            operating_point=operating_point,
        )
    for name, result in exported.items():
        click.echo(f"{name}: {result.path}, {result.size_bytes / 1e6:.1f} MB\n  {result.parity}")

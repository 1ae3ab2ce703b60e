"""Selects the Keras backend, which is fixed on import, and filters the startup messages of the libraries."""

import contextlib
import importlib.util
import os
import re
import sys
import tempfile

import click

from mamsf_keras.cli.config_options import GroupedOption

BACKENDS = ("tensorflow", "jax", "torch")
GREETING = re.compile(
    r"WARNING: All log messages before absl|To enable the following instructions|"
    r"[IWE]\d{4} .*(port|cudart_stub|cpu_feature_guard|cuda_platform|cuda_diagnostics)\.cc:"
)
"""Messages that TensorFlow prints on every start, for example if there is no GPU."""


def use_backend(name: str | None):
    """Selects the Keras backend. None selects KERAS_BACKEND, or else TensorFlow. keras.json is ignored."""
    name = name or os.environ.get("KERAS_BACKEND") or "tensorflow"
    if name not in BACKENDS:
        raise click.UsageError(f"The backend must be one of {', '.join(BACKENDS)}. Received: {name}.")
    if importlib.util.find_spec(name) is None:
        package = name if name == "tensorflow" else f"mamsf-keras[{name}]"
        raise click.ClickException(f'The backend {name} is not installed. Install it with `pip install "{package}"`.')
    if "keras" in sys.modules and (loaded := sys.modules["keras"].backend.backend()) != name:
        raise click.ClickException(f"Keras already runs on {loaded}. Switching to {name} needs a new process.")
    os.environ["KERAS_BACKEND"] = name


backend_option = click.option(
    "--backend",
    cls=GroupedOption,
    group="Hardware",
    type=click.Choice(BACKENDS),
    callback=lambda ctx, param, value: use_backend(value),
    expose_value=False,
    help="Keras backend. Overrides the environment variable KERAS_BACKEND.  [default: tensorflow]",
)


def load_keras():
    """Imports Keras with its own defaults, ignoring keras.json, and hides the startup messages of its backend.

    The import takes seconds, so a line is printed before it.
    """
    if "keras" in sys.modules:
        return
    use_backend(None)  # again, for a command without the option
    if "TQDM_DISABLE" not in os.environ:  # --quiet
        click.echo(f"loading Keras on {os.environ['KERAS_BACKEND']}", err=True)
    with filtered_stderr():
        import keras

        keras.config.set_floatx("float32")
        keras.config.set_epsilon(1e-7)
        keras.config.set_image_data_format("channels_last")
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            tf.config.list_logical_devices()  # looks for GPUs and prints messages about them


@contextlib.contextmanager
def filtered_stderr():
    """Buffers the standard error of the block, including that of C++ code, and prints it without startup messages."""
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            file.seek(0)
            for line in file.read().decode(errors="replace").splitlines():
                if not GREETING.match(line):
                    click.echo(line, err=True)

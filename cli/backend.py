"""The `--backend` option: Keras reads its backend from the environment, once, when it is imported."""

import importlib.util
import os
import sys

import click

BACKENDS = ("tensorflow", "jax", "torch")


def use_backend(name: str | None):
    """Selects the Keras backend; None leaves it to KERAS_BACKEND, or to Keras' own default, TensorFlow."""
    name = name or os.environ.get("KERAS_BACKEND")
    if name is None:
        return
    if name not in BACKENDS:
        raise click.UsageError(f"The backend must be one of {', '.join(BACKENDS)}. Received: {name}.")
    if importlib.util.find_spec(name) is None:
        raise click.ClickException(f"The backend {name} is not installed: pip install {name}.")
    if "keras" in sys.modules and (loaded := sys.modules["keras"].backend.backend()) != name:
        raise click.ClickException(f"Keras runs on {loaded} already; {name} needs a new process.")
    os.environ["KERAS_BACKEND"] = name


backend_option = click.option(
    "--backend",
    type=click.Choice(BACKENDS),
    callback=lambda ctx, param, value: use_backend(value),
    expose_value=False,
    help="Keras backend; KERAS_BACKEND sets it too.  [default: tensorflow]",
)

"""The command line: `mamsf-keras COMMAND`, one module a command, imported when it is asked for."""

import importlib
import os
import sys

import click

COMMANDS = ("phantom", "prepare", "describe", "preview", "train", "evaluate", "export")


class LazyGroup(click.Group):
    """Imports a command's module only when it is used, and turns its errors into one line."""

    def list_commands(self, ctx):
        return list(COMMANDS)

    def get_command(self, ctx, name):
        return importlib.import_module(f"mamsf_keras.cli.{name}").command if name in COMMANDS else None

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except Exception as error:
            if ctx.params["traceback"]:
                raise
            text = " ".join(line.strip() for line in str(error).splitlines())
            if not isinstance(error, (ValueError, OSError, ImportError)):  # not foreseen: memory, or a fault of ours
                text = f"{type(error).__name__}: {text[:500]} (`mamsf-keras --traceback ...` shows where)"
            raise click.ClickException(text) from error


@click.group(cls=LazyGroup, commands=dict.fromkeys(COMMANDS), context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mamsf-keras")
@click.option("--traceback", is_flag=True, help="Show the whole Python traceback of an error.")
def main(traceback):
    """Train, evaluate and export MAMSF, a long-tailed chest X-ray classifier.

    Not a medical device: for research and engineering, never for diagnosis.

    \b
    Example, from nothing:
      mamsf-keras phantom --out phantoms --tail 3
      mamsf-keras train --data-dir phantoms --preset demo --run-dir runs/demo
      mamsf-keras evaluate --run-dir runs/demo
      mamsf-keras export --run-dir runs/demo
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's greetings
    sys.stdout.reconfigure(line_buffering=True)

"""The command line: `mamsf-keras COMMAND`. Each command is a module, imported when the command is used."""

import importlib
import logging
import os
import re
import sys
from collections.abc import Mapping

import click

from mamsf_keras.errors import reason

COMMANDS = ("phantom", "prepare", "describe", "preview", "train", "evaluate", "compare", "predict", "export")


class LazyCommands(Mapping):
    """The commands by name. The module of a command is imported when the command is used."""

    def __getitem__(self, name):
        if name not in COMMANDS:
            raise KeyError(name)
        return importlib.import_module(f"mamsf_keras.cli.{name}").command

    def __iter__(self):
        return iter(COMMANDS)

    def __len__(self):
        return len(COMMANDS)


class ErrorGroup(click.Group):
    """A command group that prints each error as one line."""

    def list_commands(self, ctx):
        return list(COMMANDS)  # in the order of use, not alphabetical

    def invoke(self, ctx):
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            error.message = fields_to_flags(error.message, error.ctx.command if error.ctx else None)
            raise
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except Exception as error:
            if ctx.params["traceback"]:
                raise
            text = " ".join(line.strip() for line in str(error).splitlines())
            if not isinstance(error, (ValueError, OSError, ImportError)):  # unexpected: out of memory, or a bug
                text = (
                    f"{type(error).__name__}: {reason(error, 500)} (`mamsf-keras --traceback ...` shows the traceback)"
                )
            command = self.get_command(ctx, ctx.invoked_subcommand)
            raise click.ClickException(fields_to_flags(text, command)) from error


def fields_to_flags(text: str, command: click.Command | None) -> str:
    """Replaces fields that the library names in backticks with the corresponding options of a command."""
    flags = {parameter.name: parameter.opts[0] for parameter in command.params} if command else {}
    return re.sub(r"`(\w+)`", lambda match: flags.get(match[1], match[0]), text)


class EchoHandler(logging.Handler):
    """Prints the log messages of the library: notes to standard output, warnings to standard error."""

    def emit(self, record):
        click.echo(record.getMessage(), err=record.levelno >= logging.WARNING)


@click.group(
    cls=ErrorGroup,
    commands=LazyCommands(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="mamsf-keras")
@click.option("--traceback", is_flag=True, help="Show the Python traceback if an error occurs.")
def main(traceback):
    """Train, evaluate and export MAMSF, a classifier for long-tailed chest X-ray data.

    Not a medical device. For research and engineering only; do not use it for diagnosis or treatment.

    Example:

    \b
        mamsf-keras phantom --out phantoms --images 2600 --size 96 --tail 5
        mamsf-keras train --data-dir phantoms --preset demo --run-dir runs/demo
        mamsf-keras evaluate --run-dir runs/demo
        mamsf-keras predict phantoms --run-dir runs/demo --csv predictions.csv
        mamsf-keras export --run-dir runs/demo
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # hides TensorFlow's startup messages
    sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")  # file names may have bytes beyond UTF-8
    logger = logging.getLogger("mamsf_keras")
    logger.setLevel(logging.INFO)
    logger.handlers = [EchoHandler()]
    logger.propagate = False  # TFLite's converter adds a handler to the root logger, which would print each line twice

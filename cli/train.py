"""`mamsf-keras train`."""

import datetime
import os
import shlex

import click

from mamsf_keras.cli.backend import backend_option, load_keras
from mamsf_keras.cli.config_options import ConfiguredCommand, GroupedOption, build_config, config_options, quiet_option
from mamsf_keras.cli.hints import hint_at_unreadable_images
from mamsf_keras.config import TrainConfig
from mamsf_keras.presets import PRESETS
from mamsf_keras.run_dir import RunDir


def run_option(*args, **kwargs):
    return click.option(*args, cls=GroupedOption, group="Run", **kwargs)


@click.command(name="train", cls=ConfiguredCommand, short_help="Train a model, or resume a run.")
@config_options(TrainConfig)
@run_option(
    "--run-dir", type=click.Path(), help="Run folder to create, or to resume with --resume.  [default: runs/DATE-TIME]"
)
@run_option("--resume", is_flag=True, help="Resume the run in --run-dir from its last completed epoch.")
@run_option("--config", type=click.Path(), help="YAML or JSON file of options, such as the config.json of a run.")
@run_option("--preset", type=click.Choice(list(PRESETS)), help="Named set of options. It overrides --config.")
@backend_option
@quiet_option
def command(run_dir, resume, config, preset, **options):
    """Train a model on NIH ChestX-ray14 or on a label table.

    An interrupted run can be resumed with --resume.

    Examples:

    \b
        mamsf-keras train --data-dir phantoms --preset demo
        mamsf-keras train --data-dir ChestX-ray14 --run-dir runs/s224 --epochs 10
        mamsf-keras train --run-dir runs/s224 --resume
        mamsf-keras train --data-dir . --labels-csv CheXpert/train.csv --protocol random-patient
    """
    if resume and run_dir is None:
        raise click.UsageError("--resume needs --run-dir.")
    if run_dir is None and int(os.environ.get("KERAS_DISTRIBUTION_NUM_PROCESSES", 1)) > 1:
        raise click.UsageError("Training on several processes needs --run-dir, the same for all.")
    run_dir = run_dir or f"runs/{datetime.datetime.now():%Y%m%d-%H%M%S}"
    config = build_config(TrainConfig, options)
    load_keras()
    from mamsf_keras.training.train import train

    try:
        with hint_at_unreadable_images(config):
            summary = train(config, run_dir, resume)
    except KeyboardInterrupt:
        click.echo(f"\nstopped; to resume, run: {resume_command(run_dir)}")
        raise
    run = RunDir(run_dir)
    files = ", ".join(path.name for path in (run.model("best"), run.model("last"), run.history, run.history_plot))
    left_out = f"not in the model: {summary['left_out']}\n" if summary["left_out"] else ""
    click.echo(
        f"best validation AUROC {summary['validation_auroc']:.4f} at epoch {summary['best_epoch']} of "
        f"{summary['epochs']}; {summary['seconds']:.0f} s, {summary['images_per_second']:.1f} images/s\n"
        f"best.keras was chosen by the {summary['validation_auroc_is']}\n"
        f"{left_out}"
        f"run folder: {run_dir} ({files})\n"
        f"training curves: tensorboard --logdir {shlex.quote(run_dir)}\n"
        f"next: mamsf-keras evaluate --run-dir {shlex.quote(run_dir)}"
    )


def resume_command(run_dir) -> str:
    """Returns the command line that resumes a run on the backend in use."""
    import keras

    backend = keras.backend.backend()
    return shlex.join(["mamsf-keras", "train", "--run-dir", str(run_dir), "--resume", "--backend", backend])

"""`mamsf-keras evaluate`."""

import shlex

import click

from mamsf_keras.cli.backend import backend_option, load_keras
from mamsf_keras.cli.config_options import allowance_option, quiet_option
from mamsf_keras.cli.hints import hint_at_unreadable_images, run_data
from mamsf_keras.config import SPLITS


@click.command(name="evaluate", short_help="Evaluate the best model of a run.")
@click.option("--run-dir", required=True, type=click.Path(), help="Folder of a run.")
@click.option("--data-dir", type=click.Path(), help="Data folder.  [default: that of the run]")
@click.option("--split", type=click.Choice(SPLITS), default="test", show_default=True, help="Split to evaluate.")
@allowance_option("--allow-missing", help="Missing images to leave out.  [default: that of the run]")
@click.option("--overwrite", is_flag=True, help="Replace results computed on another data folder.")
@backend_option
@quiet_option
def command(run_dir, data_dir, split, allow_missing, overwrite):
    """Evaluate the best model of a run: AUROC and average precision of each finding.

    Example:

    \b
        mamsf-keras evaluate --run-dir runs/demo
    """
    load_keras()
    from mamsf_keras.evaluation.evaluate import evaluate
    from mamsf_keras.evaluation.metrics import metrics_table
    from mamsf_keras.run_dir import RunDir

    with hint_at_unreadable_images(run_data(run_dir, data_dir, allow_missing)):
        summary = evaluate(run_dir, data_dir, split, allow_missing, overwrite)
    run = RunDir(run_dir)
    click.echo(
        f"{summary['protocol']} protocol, {split} split: {summary['images']} images of {summary['patients']} patients\n"
        f"{metrics_table(summary)}\n"
        f"written: {run.predictions(split)}, {run.metrics(split)}\n"
        f"next: mamsf-keras export --run-dir {shlex.quote(run_dir)}"
    )

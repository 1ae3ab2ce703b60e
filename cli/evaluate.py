"""`mamsf-keras evaluate`."""

import shlex

import click
from mamsf_keras.cli.backend import backend_option

from mamsf_keras.config import PARTS


@click.command(name="evaluate")
@click.option("--run-dir", required=True, type=click.Path(), help="Folder of a run.")
@click.option("--data-dir", type=click.Path(), help="Data folder.  [default: the run's]")
@click.option("--split", type=click.Choice(PARTS), default="test", show_default=True, help="Part.")
@click.option("--allow-missing", is_flag=True, help="Go on without the images that are not there.")
@click.option("--overwrite", is_flag=True, help="Replace results on another data folder.")
@backend_option
def command(run_dir, data_dir, split, allow_missing, overwrite):
    """Evaluate the best model of a run: AUROC and average precision of each finding.

    \b
    Example:
      mamsf-keras evaluate --run-dir runs/demo
    """
    from mamsf_keras.evaluation.evaluate import evaluate
    from mamsf_keras.evaluation.metrics import metrics_table

    summary = evaluate(run_dir, data_dir, split, allow_missing, overwrite)
    click.echo(
        f"{summary['protocol']} protocol, {split} split: {summary['images']} images of {summary['patients']} patients\n"
        f"{metrics_table(summary)}\n"
        f"written: {run_dir}/predictions-{split}.csv, {run_dir}/metrics-{split}.json\n"
        f"next: mamsf-keras export --run-dir {shlex.quote(run_dir)}"
    )

"""`mamsf-keras evaluate`."""

import shlex

import click

from mamsf_keras.cli.backend import backend_option, load_keras
from mamsf_keras.cli.config_options import LABEL_FIELDS, allowance_option, config_options, quiet_option
from mamsf_keras.cli.hints import hint_at_unreadable_images, run_data
from mamsf_keras.config import SPLITS, LabelsCsv


class Prevalence(click.ParamType):
    """One prevalence for all findings, or NAME=VALUE,..., as a dictionary. The key "" stands for all findings."""

    name = "prevalence"

    def convert(self, value, param, ctx):
        if isinstance(value, dict):
            return value
        given = {}
        for word in value.split(","):
            name, _, number = word.rpartition("=")
            name = name.strip()
            if name in given:
                self.fail(f"more than one value for {name or 'all findings'}.", param, ctx)
            try:
                given[name] = float(number)
            except ValueError:
                self.fail(f"{number!r} is not a number.", param, ctx)
            if not 0 < given[name] < 1:
                self.fail(f"a prevalence must be in (0, 1). Received: {number}.", param, ctx)
        return given


@click.command(name="evaluate", short_help="Evaluate a run, or a file of predictions.")
@click.option("--run-dir", type=click.Path(), help="Run folder. Its best model is evaluated.")
@click.option(
    "--data-dir", type=click.Path(), help="Data folder, or a cache of it.  [default: the data folder of the run]"
)
@click.option("--split", type=click.Choice(SPLITS), help="Split to evaluate.  [default: test]")
@allowance_option("--allow-missing", help="Leave out missing images", unset="the value used by the run")
@click.option(
    "--predictions",
    type=click.Path(),
    help="CSV file with the columns image, patient (optional) and one column of probabilities per finding. Use it "
    "instead of --run-dir.",
)
@click.option(
    "--labels",
    type=click.Path(),
    help="Label table (CSV) for --predictions.  [default: the NAME_label columns of --predictions]",
)
@config_options(LabelsCsv, leave_out=("path",))
@click.option("--calibration", type=click.Path(), help="calibration.json of a run, applied to --predictions.")
@click.option("--out", type=click.Path(), help="Output folder for the results. Required with --predictions.")
@click.option(
    "--prevalence",
    type=Prevalence(),
    metavar="X|NAME=X,...",
    help="Also report the positive predictive value at this prevalence. Give X for all findings, or NAME=X for some. "
    "With --predictions, this requires --calibration.",
)
@click.option(
    "--overwrite",
    is_flag=True,
    help="Overwrite results in the run folder that were computed from another data folder, or any results in the --out "
    "folder.",
)
@backend_option
@quiet_option
@click.pass_context
def command(ctx, run_dir, predictions, **options):
    """Evaluate a run, or a file of predictions from any model.

    Writes metrics with 95% confidence intervals from a bootstrap over patients, a Markdown table and an HTML report.

    Examples:

    \b
        mamsf-keras evaluate --run-dir runs/demo
        mamsf-keras evaluate --predictions predictions.csv --labels labels.csv --out results
    """
    if (run_dir is None) == (predictions is None):
        raise click.UsageError("Use either --run-dir or --predictions.", ctx)
    of_files, of_runs = ["labels", *LABEL_FIELDS, "calibration", "out"], ["data_dir", "split", "allow_missing"]
    _refuse(ctx, of_files if run_dir else of_runs, "--predictions" if run_dir else "--run-dir")
    if options["labels"] is None:
        _refuse(ctx, LABEL_FIELDS, "--labels")
    if predictions and not options["out"]:
        raise click.UsageError("--predictions needs --out, the output folder for the results.", ctx)
    _evaluate_run(run_dir, **options) if run_dir else _evaluate_file(predictions, **options)


def _refuse(ctx, names, other):
    """Raises a usage error if one of these options was given, which only work with another option."""
    for name in names:
        if ctx.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{name.replace('_', '-')} can only be used with {other}.", ctx)


def _evaluate_run(run_dir, data_dir, split, allow_missing, overwrite, prevalence, **_):
    load_keras()
    from mamsf_keras.evaluation.evaluate import evaluate
    from mamsf_keras.evaluation.metrics import metrics_table
    from mamsf_keras.run_dir import RunDir

    split = split or "test"
    with hint_at_unreadable_images(run_data(run_dir, data_dir, allow_missing)):
        summary = evaluate(
            run_dir, data_dir, split, allow_missing=allow_missing, overwrite=overwrite, prevalence=prevalence
        )
    run = RunDir(run_dir)
    click.echo(
        f"{summary['protocol']} protocol, {split} split: {summary['images']} images of {summary['patients']} patients\n"
        f"{metrics_table(summary)}\n"
        f"written: {run.predictions(split)}, {run.metrics(split)}, {run.metrics_table(split)}, {run.report(split)}\n"
        f"next: mamsf-keras export --run-dir {shlex.quote(run_dir)}"
    )


def _evaluate_file(predictions, labels, calibration, out, overwrite, prevalence, **options):
    from mamsf_keras.evaluation.evaluate_file import evaluate_file
    from mamsf_keras.evaluation.metrics import metrics_table

    given = {name: options[name] for name in LABEL_FIELDS if options[name] is not None}
    table = None if labels is None else LabelsCsv(labels, **given)
    summary = evaluate_file(
        predictions, table, out, calibration=calibration, overwrite=overwrite, prevalence=prevalence
    )
    click.echo(
        f"{summary['images']} images of {summary['patients']} patients\n{metrics_table(summary)}\nwritten: {out}"
    )

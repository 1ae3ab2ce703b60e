"""`mamsf-keras compare`."""

import click

from mamsf_keras.cli.config_options import quiet_option
from mamsf_keras.config import SPLITS


class ManyAgainst(click.Command):
    """A command whose `--against` takes all arguments up to the next option, so that it accepts shell patterns."""

    def parse_args(self, ctx, args):
        words, against = [], False
        for i, word in enumerate(args):
            if word == "--":
                words += args[i:]
                break
            if word.startswith("-"):
                against = word == "--against"
                words += [] if against else [word]
            else:
                words += ["--against", word] if against else [word]
        return super().parse_args(ctx, words)


@click.command(name="compare", cls=ManyAgainst, short_help="Compare two recipes, each trained with several seeds.")
@click.argument("runs", nargs=-1, required=True, type=click.Path(), metavar="RUN [RUN ...]")
@click.option(
    "--against",
    required=True,
    multiple=True,
    type=click.Path(),
    metavar="RUN [RUN ...]",
    help="Runs of the other recipe. Takes all arguments up to the next option.",
)
@click.option("--out", required=True, type=click.Path(), help="Output folder for the results.")
@click.option(
    "--split", type=click.Choice(SPLITS), default="test", show_default=True, help="Split to compare the recipes on."
)
@click.option("--overwrite", is_flag=True, help="Overwrite the results in the --out folder.")
@quiet_option
def command(runs, against, out, split, overwrite):
    """Compare two recipes (sets of training options), each trained with several seeds.

    Evaluate each run first. The runs of one recipe may differ only in seed and paths. The differences in AUROC and
    average precision are reported with 95% confidence intervals and p-values that account for the variation over both
    seeds and patients. A test needs at least five seeds per recipe.

    Example:

    \b
        mamsf-keras compare runs/asl-* --against runs/bce-* --out asl-or-bce
    """
    from mamsf_keras.evaluation.compare import compare
    from mamsf_keras.reports.comparison import comparison_text

    result = compare(runs, against, out, split, overwrite=overwrite)
    click.echo(f"{comparison_text(result)}\nwritten: {out}")

"""Measures how much each export differs from Keras, its size and its latency on the CPU, without limits.

    python -m benchmarks.exports --run-dir RUN --out FOLDER

Evaluate the run first, so that the exports have a calibration. The formats run one after another, each in a separate
process; the times are medians of up to 100 calls.
"""

import dataclasses
import json
import logging
from pathlib import Path

import click

from mamsf_keras.config import FORMATS, QUANTIZATIONS
from mamsf_keras.export.export import export_run
from mamsf_keras.export.formats import FORMATS as REGISTRY
from mamsf_keras.export.results import Limits, parity_table


@click.command()
@click.option("--run-dir", required=True, type=click.Path(), help="Run folder.")
@click.option("--out", required=True, type=click.Path(), help="Empty folder for the exports.")
@click.option("--data-dir", type=click.Path(), help="Data folder.  [default: that of the run]")
def main(run_dir, out, data_dir):
    """Print the comparison in all formats, and the change of each AUROC."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    for name, form in REGISTRY.items():
        REGISTRY[name] = dataclasses.replace(form, limits=Limits(logits=1e9, auroc=1.0))
    exported = export_run(run_dir, out, FORMATS, data_dir, quantize=QUANTIZATIONS)
    [parity_file] = Path(out).glob("*.parity.json")
    click.echo(parity_table(exported, json.loads(parity_file.read_text())["keras"]))
    for name, result in exported.items():
        changes = {finding: row.auroc_change for finding, row in result.parity.findings.items()}
        click.echo(f"{name}: " + ", ".join(f"{k} {v:+.4f}" for k, v in changes.items() if v is not None))
    click.echo(f"without AUROC: {result.parity.undefined}; barely distinguished: {result.parity.barely_distinguished}")


if __name__ == "__main__":
    main()

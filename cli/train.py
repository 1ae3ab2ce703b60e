"""`mamsf-keras train`."""

import dataclasses
import datetime

import click
from mamsf_keras.cli.backend import backend_option
from mamsf_keras.cli.data_options import config_of, data_options, given, protocol_option

from mamsf_keras.config import CHOICES, PRESETS, TrainConfig

DEFAULTS = {field.name: field.default for field in dataclasses.fields(TrainConfig)}


class Decay(click.ParamType):
    name = "auto|D"

    def convert(self, value, param, ctx):
        if value == "auto":
            return value
        return click.FloatRange(0, 1).convert(value, param, ctx)


def option(flag, **kwargs):
    """An option whose default is that of `TrainConfig`; it is not passed on unless given, so a preset can fill it."""
    name = flag.split("/")[0].lstrip("-").replace("-", "_")
    kwargs["help"] += f"  [default: {DEFAULTS[name]}]"
    return click.option(flag, default=None, **kwargs)


@click.command(name="train")
@data_options
@protocol_option
@click.option("--cache-dir", type=click.Path(), help="Folder of the cache.  [default: below ~/.cache/mamsf-keras]")
@option("--cache/--no-cache", help="Prepare the images once, or read the originals at each pass.")
@click.option("--run-dir", type=click.Path(), help="Folder to write, new.  [default: runs/DATE-TIME]")
@click.option("--preset", type=click.Choice(list(PRESETS)), help="Values for the options below that are not given.")
@option("--backbone", type=click.Choice(CHOICES["backbone"]), help="EfficientNetV2 variant.")
@option("--weights", metavar="imagenet|none|FILE", help="Weights that the backbone starts from.")
@option("--image-size", type=click.IntRange(32), help="Height and width in pixels.")
@option("--batch-size", type=click.IntRange(1), help="Images a step.")
@option("--epochs", type=click.IntRange(1), help="Passes over the training part.")
@option("--augment", type=click.Choice(CHOICES["augment"]), help="Augmentation of the training images.")
@option("--cut", type=click.Choice(CHOICES["cut"]), help="Where the block that the momentum anchor doubles begins.")
@option("--decay", type=Decay(), help="Decay of the momentum anchor, 0 to 1; auto follows --decay-window-epochs.")
@option(
    "--decay-window-epochs",
    metavar="K",
    type=click.FloatRange(0, min_open=True),
    help="Average over about K epochs: decay auto is 1 - 1 / (K x updates an epoch).",
)
@option(
    "--decay-schedule",
    type=click.Choice(CHOICES["decay_schedule"]),
    help="The decay is constant, or grows to its value as (1 + t) / (10 + t) or as timm's power, or to 1 as a cosine.",
)
@option("--decay-start", metavar="N", type=click.IntRange(0), help="Updates before which the twin follows its block.")
@option("--freeze-epochs", type=click.IntRange(0), help="First epochs in which the backbone is frozen.")
@option("--learning-rate", type=click.FloatRange(0, min_open=True), help="Peak rate of AdamW.")
@option("--weight-decay", type=click.FloatRange(0), help="Weight decay of AdamW, on kernels.")
@option("--anchor/--no-anchor", help="The momentum branch.")
@option("--fusion/--no-fusion", help="The multi-scale fusion.")
@option("--jit", type=click.Choice(CHOICES["jit"]), help="XLA: auto is on for JAX, and for TensorFlow on a GPU.")
@option("--seed", type=click.IntRange(0), help="Of weights, order and augmentation.")
@backend_option
def command(run_dir, preset, **options):
    """Train a model on a folder in the NIH layout.

    \b
    Examples:
      mamsf-keras train --data-dir phantoms --preset demo
      mamsf-keras train --data-dir ChestX-ray14 --run-dir runs/s224 --epochs 10
      mamsf-keras train --data-dir CheXpert --labels-csv train.csv --uncertain positive --protocol random-patient
    """
    config = config_of(TrainConfig, **{**PRESETS.get(preset, {}), **given(options)})
    run_dir = run_dir or f"runs/{datetime.datetime.now():%Y%m%d-%H%M%S}"
    from mamsf_keras.training.train import train

    summary = train(config, run_dir)
    click.echo(
        f"best validation AUROC {summary['val_auroc']:.4f} at epoch {summary['best_epoch']}; "
        f"{summary['seconds']:.0f} s, {summary['images_per_second']:.1f} images/s\n"
        f"run folder: {run_dir}\n"
        f"next: mamsf-keras evaluate --run-dir {run_dir}"
    )

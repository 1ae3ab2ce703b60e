"""`mamsf-keras train`."""

import dataclasses
import datetime
import os
import shlex

import click

from mamsf_keras.cli.backend import backend_option
from mamsf_keras.cli.data_options import (
    allow_missing_option,
    config_of,
    data_options,
    given,
    hint_at_unreadable_images,
    protocol_option,
)
from mamsf_keras.config import CHOICES, TrainConfig
from mamsf_keras.presets import PRESETS
from mamsf_keras.run_dir import RunDir

DEFAULTS = {field.name: field.default for field in dataclasses.fields(TrainConfig)}


class Decay(click.ParamType):
    name = "auto|D"

    def convert(self, value, param, ctx):
        if value == "auto":
            return value
        try:
            return click.FloatRange(0, 1).convert(value, param, ctx)
        except click.BadParameter:
            self.fail(f"{value!r} is neither auto nor a number from 0 to 1.", param, ctx)


def option(flag, **kwargs):
    """An option whose default is that of `TrainConfig`; it is not passed on unless given, so a preset can fill it."""
    name = flag.split("/")[0].lstrip("-").replace("-", "_")
    kwargs["help"] += f"  [default: {DEFAULTS[name]}]"
    return click.option(flag, default=None, **kwargs)


@click.command(name="train")
@data_options
@allow_missing_option
@protocol_option
@click.option("--cache-dir", type=click.Path(), help="Folder of the cache.  [default: below ~/.cache/mamsf-keras]")
@option("--cache/--no-cache", help="Prepare the images once, or read the originals at each pass.")
@click.option("--run-dir", type=click.Path(), help="Folder to write, new.  [default: runs/DATE-TIME]")
@click.option("--resume", is_flag=True, help="Resume the run in --run-dir.")
@click.option("--config", "config_file", type=click.Path(), help="config.json of a run: all options, --data-dir too.")
@click.option("--preset", type=click.Choice(list(PRESETS)), help="Values for the options below that are not given.")
@option("--backbone", type=click.Choice(CHOICES["backbone"]), help="EfficientNetV2 variant.")
@option("--weights", metavar="imagenet|none|FILE", help="Weights that the backbone starts from.")
@option("--image-size", type=click.IntRange(32), help="Height and width in pixels.")
@option("--batch-size", type=click.IntRange(1), help="Images a step.")
@option("--epochs", type=click.IntRange(1), help="Epochs, each with validation and a checkpoint at its end.")
@click.option(
    "--steps-per-epoch", metavar="N", type=click.IntRange(1), help="Steps of an epoch.  [default: all training images]"
)
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
@option("--freeze-epochs", type=click.IntRange(0), help="First epochs in which the backbone is frozen.")
@option("--loss", type=click.Choice(CHOICES["loss"]), help="Loss; ldam re-weights in its last fifth.")
@click.option("--final-loss", type=click.Choice(CHOICES["loss"]), help="Loss of the last --final-epochs epochs.")
@click.option(
    "--final-epochs", metavar="N", type=click.IntRange(0), help="Last epochs, at a tenth of the rate.  [default: none]"
)
@option("--learning-rate", type=click.FloatRange(0, min_open=True), help="Peak rate of AdamW.")
@option("--warmup", metavar="PART", type=click.FloatRange(0, 1, max_open=True), help="Part of the steps that warm up.")
@option("--weight-decay", type=click.FloatRange(0), help="Weight decay of AdamW, on kernels.")
@option("--clip-norm", type=click.FloatRange(0, min_open=True), help="Largest global norm of the gradients.")
@option("--accumulate", metavar="K", type=click.IntRange(1), help="Steps whose gradients make one update.")
@option("--patience", metavar="N", type=click.IntRange(0), help="Stop after N epochs with no better AUROC; 0: never.")
@option("--precision", type=click.Choice(CHOICES["precision"]), help="Of the computation; float16 scales its loss.")
@option("--steps-per-execution", metavar="N", type=click.IntRange(1), help="Steps without coming back to Python.")
@option("--anchor/--no-anchor", help="The momentum branch.")
@option("--fusion/--no-fusion", help="The multi-scale fusion.")
@option("--jit", type=click.Choice(CHOICES["jit"]), help="XLA: auto is on for JAX, and for TensorFlow on a GPU.")
@option("--seed", type=click.IntRange(0), help="Of weights, order and augmentation.")
@option("--deterministic/--no-deterministic", help="Ask the backend for deterministic operations.")
@option("--distribute", type=click.Choice(CHOICES["distribute"]), help="Over all GPUs of a host, or of many on JAX.")
@click.option("--mlflow", metavar="URI", help="MLflow server that the run is logged to.")
@backend_option
def command(run_dir, resume, config_file, preset, **options):
    """Train a model on a folder in the NIH layout.

    An interrupted run can be continued with --resume.

    \b
    Examples:
      mamsf-keras train --data-dir phantoms --preset demo
      mamsf-keras train --data-dir ChestX-ray14 --run-dir runs/s224 --epochs 10
      mamsf-keras train --run-dir runs/s224 --resume
      mamsf-keras train --data-dir . --labels-csv CheXpert/train.csv --protocol random-patient
    """
    if resume and run_dir is None:
        raise click.UsageError("--resume needs --run-dir.")
    base = PRESETS.get(preset, {})
    if config_file or resume:
        config = TrainConfig.load(config_file) if config_file else RunDir.open(run_dir).config
        base = {**dataclasses.asdict(config), **base}
    config = config_of(TrainConfig, **{**base, **given(options)})
    if run_dir is None and int(os.environ.get("KERAS_DISTRIBUTION_NUM_PROCESSES", 1)) > 1:
        raise click.UsageError("Many processes need one --run-dir.")
    run_dir = run_dir or f"runs/{datetime.datetime.now():%Y%m%d-%H%M%S}"
    from mamsf_keras.training.train import train

    try:
        with hint_at_unreadable_images(config):
            summary = train(config, run_dir, resume)
    except KeyboardInterrupt:
        click.echo(f"\nstopped; to resume: {resume_command(run_dir)}")
        raise
    run = RunDir(run_dir)
    files = ", ".join(path.name for path in (run.model("best"), run.model("last"), run.history, run.history_plot))
    click.echo(
        f"best validation AUROC {summary['validation_auroc']:.4f} at epoch {summary['best_epoch']} of "
        f"{summary['epochs']}; {summary['seconds']:.0f} s, {summary['images_per_second']:.1f} images/s\n"
        f"run folder: {run_dir} ({files})\n"
        f"curves: tensorboard --logdir {shlex.quote(run_dir)}\n"
        f"next: mamsf-keras evaluate --run-dir {shlex.quote(run_dir)}"
    )


def resume_command(run_dir) -> str:
    """Returns the command line that resumes a run on the backend in use."""
    import keras

    backend = keras.backend.backend()
    return shlex.join(["mamsf-keras", "train", "--run-dir", str(run_dir), "--resume", "--backend", backend])

"""Measures the time of a training step of MAMSF and of the same EfficientNetV2 with a plain head, in one process.

    KERAS_BACKEND=jax python -m benchmarks.step_time --backbone efficientnetv2-s

It also measures the Keras average of the full model (`use_ema=True`) and, on PyTorch with timm installed, the
EfficientNetV2 of timm with `ModelEmaV3`. The models run in turn. Every result is a median; compare the ratios.
"""

import functools
import importlib.util
import statistics
import time

import click
import keras
import numpy as np

from mamsf_keras import FINDINGS, MAMSFNet, efficientnetv2
from mamsf_keras.config import BACKBONES
from mamsf_keras.model.backbone import VARIANTS
from mamsf_keras.model.cost import cost_table, cost_text
from mamsf_keras.model.decay import DecaySchedule
from mamsf_keras.training.losses import CellwiseBCE
from mamsf_keras.training.phases import resolve_jit

PLAIN = "EfficientNetV2, plain head"
WITHOUT_UPDATE = "MAMSF, shadow never updated"


def compiled(model, **options):
    """Compiles a model with AdamW, under the XLA rule of `train`."""
    model.compile(keras.optimizers.AdamW(1e-3, **options), CellwiseBCE(), jit_compile=resolve_jit("auto"))
    model.optimizer.build(model.trainable_variables)
    return model


def plain(backbone, size, **options):
    """Builds the backbone of `keras.applications` with average pooling and a dense layer."""
    gray = keras.Input((size, size, 1))
    full = VARIANTS[backbone](include_top=False, weights=None, input_shape=(size, size, 3), pooling="avg")
    features = full(keras.layers.Concatenate()([gray, gray, gray]))
    return compiled(keras.Model(gray, keras.layers.Dense(len(FINDINGS))(features)), **options)


def mamsf(backbone, size, update=True, **parts):
    """Builds a MAMSFNet with or without the update of the shadow in its step."""
    model = compiled(MAMSFNet(efficientnetv2(backbone, image_size=size), classifier_activation=None, **parts))
    if model.anchor and update:
        model.anchor.start_tracking(DecaySchedule(0.999, warmup="ratio"))
    elif model.anchor:
        model.anchor.update_shadow = lambda: None
    return model


def timm_step(backbone, images, labels):
    """Returns a training step of the EfficientNetV2 of timm with `ModelEmaV3`, as in the training script of timm."""
    import timm
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    name = backbone.replace("efficientnetv2-", "tf_efficientnetv2_")
    model = timm.create_model(name, num_classes=labels.shape[1]).to(device).train()
    average = timm.utils.ModelEmaV3(model, decay=0.999, use_warmup=True)
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    images = torch.from_numpy(np.repeat(images, 3, axis=-1)).permute(0, 3, 1, 2).to(device)
    labels = torch.from_numpy(labels).to(device)

    def step():
        optimizer.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(images.float() / 128 - 1), labels)
        loss.backward()
        optimizer.step()
        average.update(model)
        loss.item()  # waits, as Keras does to return the loss

    return step


def update_alone(anchor):
    """Returns a function that runs one compiled update of the shadow and waits for it."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        update = tf.function(anchor.update_shadow)
        return lambda: (update(), anchor.update_count.numpy())
    if backend == "torch":
        return lambda: (anchor.update_shadow(), anchor.update_count.value.cpu())
    import jax

    variables = anchor.weights

    @functools.partial(jax.jit, donate_argnums=0)
    def update(state):
        with keras.StatelessScope(zip(variables, state, strict=True)) as scope:
            anchor.update_shadow()
        return [scope.get_current_value(variable) for variable in variables]

    state = [jax.numpy.array(variable.value, copy=True) for variable in variables]  # donated, so not the model's own

    def run():
        state[:] = jax.block_until_ready(update(state))

    return run


def seconds(function) -> float:
    """Times one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


@click.command()
@click.option("--backbone", type=click.Choice(BACKBONES), default="efficientnetv2-b0", show_default=True)
@click.option("--image-size", default=224, show_default=True)
@click.option("--batch-size", default=16, show_default=True)
@click.option("--steps", type=click.IntRange(2), default=20, show_default=True, help="Number of timed steps of each.")
def main(backbone, image_size, batch_size, steps):
    """Print step times and their ratios on one backend, selected by KERAS_BACKEND."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (batch_size, image_size, image_size, 1), dtype=np.uint8)
    labels = (rng.random((batch_size, len(FINDINGS))) < 0.1).astype("float32")
    models = {
        PLAIN: plain(backbone, image_size),
        "the same, use_ema=True": plain(backbone, image_size, use_ema=True),
        "MAMSF": mamsf(backbone, image_size),
        WITHOUT_UPDATE: mamsf(backbone, image_size, update=False),
        "MAMSF without anchor": mamsf(backbone, image_size, use_anchor=False),
        "MAMSF without fusion": mamsf(backbone, image_size, use_fusion=False),
    }
    runs = {name: functools.partial(model.train_on_batch, images, labels) for name, model in models.items()}
    if keras.backend.backend() == "torch":
        if importlib.util.find_spec("timm"):
            runs["timm, ModelEmaV3"] = timm_step(backbone, images, labels)
        else:
            click.echo("timm is not installed; run `pip install timm` to include it in the table")
    for name, run in runs.items():
        click.echo(f"first step of {name}: {seconds(run):.0f} s")
    times = {name: [] for name in runs}
    for _ in range(steps):
        for name, run in runs.items():
            times[name].append(seconds(run))
    report(models, times, update_alone(models["MAMSF"].anchor))


def report(models, times, update):
    """Prints the tables."""
    medians = {name: statistics.median(values) for name, values in times.items()}
    click.echo(f"\n{keras.backend.backend()}, {len(times[PLAIN])} steps of each in turn")
    for name, median in medians.items():
        low, high = np.percentile(times[name], [25, 75])
        click.echo(f"{name:30} {median:8.3f} s ({low:.3f} to {high:.3f})  {median / medians[PLAIN]:6.3f} x plain")
    update()
    alone, step = statistics.median(seconds(update) for _ in range(200)), medians["MAMSF"]
    differences = np.subtract(times["MAMSF"], times[WITHOUT_UPDATE])
    click.echo(f"shadow update alone: {alone * 1e3:.2f} ms, {100 * alone / step:.3f} % of the MAMSF step")
    click.echo(
        f"difference between the steps with and without the update: median {1e3 * np.median(differences):.1f} ms, "
        f"standard deviation {1e3 * differences.std():.1f} ms"
    )
    flops = cost_table(models["MAMSF"])["flops"].drop("total")
    flops = flops * np.where(flops.index == "shadow block", 1, 3)  # a backward pass costs two forward ones
    for part, name in (("shadow block", "anchor"), ("fusion", "fusion")):
        time_share = 1 - medians[f"MAMSF without {name}"] / step
        click.echo(
            f"{name}: {100 * time_share:.1f} % of the step, {100 * flops[part] / flops.sum():.1f} % of its FLOPs"
        )
    click.echo(cost_text(models["MAMSF"]))


if __name__ == "__main__":
    main()

"""Measures images per second of `tf.data` and of `PyDataset` in `fit` on TensorFlow, alternating epochs of each.

    mamsf-keras phantom --out phantoms-96 --images 2600 --size 96 --tail 5
    python -m benchmarks.feeders --data-dir phantoms-96

Both are measured with a trivial model, so that only feeding is timed, and with the network of the preset demo. The
results are medians without the first epoch of each, which builds the graph.
"""

import statistics
import time

import click
import keras

from mamsf_keras.config import TrainConfig
from mamsf_keras.data.batches import py_dataset, tf_data
from mamsf_keras.data.open import open_dataset
from mamsf_keras.devices import find_devices
from mamsf_keras.presets import PRESETS
from mamsf_keras.training.build import build_backbone, build_model
from mamsf_keras.training.data import load_training_data
from mamsf_keras.training.losses import CellwiseBCE
from mamsf_keras.training.phases import compile_for_phase, plan_phases


def cheap_model(size, findings):
    """Builds a model with one pooling layer and one dense layer."""
    image = keras.Input((size, size, 1))
    model = keras.Model(image, keras.layers.Dense(findings)(keras.layers.GlobalAveragePooling2D()(image)))
    model.compile("sgd", CellwiseBCE())
    return model


@click.command()
@click.option("--data-dir", required=True, type=click.Path(), help="Folder in the NIH layout, or a cache.")
@click.option("--epochs", default=5, show_default=True, help="Number of timed epochs of each.")
def main(data_dir, epochs):
    """Print images per second."""
    config = TrainConfig(data_dir, **PRESETS["demo"])
    data = load_training_data(open_dataset(config), config, find_devices("none"))
    findings, counts = data.findings, data.class_counts
    network = build_model(config, build_backbone(config, None), findings, counts)
    compile_for_phase(network, plan_phases(config)[0], config, data.steps_per_epoch, counts)
    for name, model, passes in (
        ("pooling and dense", cheap_model(config.image_size, len(findings)), 20),
        (config.backbone, network, 1),
    ):
        steps = passes * data.training.steps_per_pass
        feeders = {
            "tf.data": lambda steps=steps: tf_data.training_dataset(data.training, 0, steps),
            "PyDataset": lambda: py_dataset.training_dataset(data.training),
        }
        rates = {feeder: [] for feeder in feeders}
        for _ in range(epochs + 1):
            for feeder, batches in feeders.items():
                start = time.perf_counter()
                model.fit(batches(), steps_per_epoch=steps, shuffle=False, verbose=0)
                rates[feeder].append(steps * config.batch_size / (time.perf_counter() - start))
        medians = {feeder: statistics.median(values[1:]) for feeder, values in rates.items()}
        ratio = medians["PyDataset"] / medians["tf.data"]
        figures = ", ".join(f"{feeder} {median:,.0f} images/s" for feeder, median in medians.items())
        click.echo(f"{name}: {figures}; PyDataset / tf.data {ratio:.2f}")


if __name__ == "__main__":
    main()

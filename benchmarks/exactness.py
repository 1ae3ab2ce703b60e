"""Measures the relative error of the shadow against NumPy in float64, for every way to run a step.

    KERAS_BACKEND=jax python -m benchmarks.exactness
    KERAS_BACKEND=tensorflow python -m benchmarks.exactness --devices 2

A toy model is trained for 32 steps. The online weights are recorded inside the step, as the shadow sees them, and the
rule d shadow + (1 - d) online, d = 0.95, is recomputed from them. PyTorch has no XLA, and Keras does not support
`steps_per_execution` above 1 there.
"""

import itertools
import os

os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=2")

import click
import keras
import numpy as np
from keras import layers, ops

from mamsf_keras import MAMSFNet, SelectiveEMACallback
from mamsf_keras.training.losses import CellwiseBCE
from tests.toys import toy_backbone

STEPS, BATCH, SIZE = 32, 4, 32
DECAY = 0.95


def ways(backend):
    """Lists the combinations of (jit, precision, steps_per_execution, accumulation) that a backend supports."""
    jits, executions = ((False,), (1,)) if backend == "torch" else ((False, True), (1, 8))
    return list(itertools.product(jits, ("float32", "mixed_bfloat16", "mixed_float16"), executions, (1, 4)))


class Recorder(layers.Layer):
    """Records the weights of a block at each training step, before any update."""

    def __init__(self, block, steps):
        super().__init__(dtype="float32", autocast=False)
        self.block = block
        size = sum(int(np.prod(weight.shape)) for weight in block.weights)
        options = {"initializer": "zeros", "trainable": False, "aggregation": "only_first_replica"}
        self.rows = self.add_weight((steps, size), **options)
        self.step = self.add_weight((), dtype="int32", **options)

    def call(self, images):
        """Records the weights. The images are an argument only to make this part of the step."""
        row = ops.concatenate([ops.reshape(ops.convert_to_tensor(weight), (-1,)) for weight in self.block.weights])
        rows, step = ops.convert_to_tensor(self.rows), ops.convert_to_tensor(self.step)
        self.rows.assign(ops.where(ops.arange(STEPS)[:, None] == step, row, rows))
        self.step.assign(step + 1)
        return images


class RecordedMAMSFNet(MAMSFNet):
    """A MAMSFNet that records the online weights of every step."""

    def build(self, input_shape):
        """Adds the recorder."""
        self.recorder = Recorder(self.final_block, STEPS)
        super().build(input_shape)

    def call(self, images, training=False):
        """Records the weights, then calls the model."""
        return super().call(self.recorder(images) if training else images, training=training)


def recorded_model(jit, precision, steps_per_execution, accumulation):
    """Builds and compiles the toy model."""
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(precision)
    try:
        model = RecordedMAMSFNet(toy_backbone(SIZE), ("A", "B"), use_fusion=False, classifier_activation=None)
        optimizer = keras.optimizers.Adam(0.01, gradient_accumulation_steps=accumulation if accumulation > 1 else None)
        model.compile(optimizer, CellwiseBCE(), jit_compile=jit, steps_per_execution=steps_per_execution)
    finally:
        keras.config.set_dtype_policy("float32")
    return model


def train(model):
    """Trains for all steps with a constant decay and returns the initial shadow."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (STEPS * BATCH, SIZE, SIZE, 1), dtype=np.uint8)
    labels = (rng.random((len(images), 2)) < 0.4).astype("float32")
    for weight in model.anchor.shadow.weights:
        weight.assign(ops.convert_to_numpy(weight) + 0.5)
    start = flat(model.anchor.shadow)
    callbacks = [SelectiveEMACallback(DECAY)]
    model.fit(images, labels, batch_size=BATCH, epochs=1, verbose=0, shuffle=False, callbacks=callbacks)
    return start


def flat(block):
    """Returns all weights of a block as one vector."""
    return np.concatenate([np.ravel(ops.convert_to_numpy(weight)) for weight in block.weights])


def relative_error(model, start, accumulation) -> float:
    """Compares the shadow with the rule in float64."""
    shadow = start.astype(np.float64)
    for online in ops.convert_to_numpy(model.recorder.rows)[::accumulation]:
        shadow = DECAY * shadow + (1 - DECAY) * online
    return float(np.linalg.norm(flat(model.anchor.shadow) - shadow) / np.linalg.norm(shadow))


def shadow_error(jit, precision, steps_per_execution, accumulation) -> float:
    """Trains one toy model and returns the relative error of its shadow."""
    model = recorded_model(jit, precision, steps_per_execution, accumulation)
    return relative_error(model, train(model), accumulation)


def two_devices():
    """Trains on two virtual devices. Returns the error and the largest difference between the two shadows."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
        with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
            model = recorded_model(False, "float32", 1, 1)
            start = train(model)
        copies = [[copy.numpy() for copy in weight.value.values] for weight in model.anchor.shadow.weights]
    else:
        keras.distribution.set_distribution(keras.distribution.DataParallel(devices=["cpu:0", "cpu:1"]))
        model = recorded_model(True, "float32", 1, 1)
        start = train(model)
        shards = [weight.value.addressable_shards for weight in model.anchor.shadow.weights]
        copies = [[np.asarray(shard.data) for shard in weight] for weight in shards]
    assert all(len(weight) == 2 for weight in copies)
    return relative_error(model, start, 1), max(float(np.abs(one - two).max()) for one, two in copies)


@click.command()
@click.option("--devices", type=click.IntRange(1, 2), default=1, show_default=True, help="2: two virtual CPUs.")
def main(devices):
    """Print the table of one backend, selected by KERAS_BACKEND."""
    backend = keras.backend.backend()
    if devices == 2:
        error, difference = two_devices()
        click.echo(f"{backend}, 2 devices: error {error:.1e}, largest difference between the devices {difference:g}")
        return
    click.echo("backend     XLA    precision       steps/execution  accumulation  relative error")
    for jit, precision, execution, accumulation in ways(backend):
        error = shadow_error(jit, precision, execution, accumulation)
        click.echo(f"{backend:11} {jit!s:6} {precision:15} {execution:15}  {accumulation:12}  {error:14.1e}")


if __name__ == "__main__":
    main()

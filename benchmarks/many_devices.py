"""Compares training on several devices with training on one: largest relative difference of losses and weights.

    python -m benchmarks.many_devices
    python -m benchmarks.many_devices --backbone efficientnetv2-b0 --losses bce

Two logical CPUs under `tf.distribute`, and two host devices and two processes under `keras.distribution` on JAX, are
each compared with one device of the same backend, for 8 steps with each loss. Labels are partly missing, more of them
on one device than on the other. The toy model has no batch norm. In an EfficientNet under `MirroredStrategy`, batch
norm sees only a part of the batch on each device. Each of the first steps from random weights also amplifies rounding
errors by a factor of a hundred, so compare the first loss.
"""

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import click
import numpy as np

from mamsf_keras.config import LOSSES, TrainConfig
from mamsf_keras.devices import VARIABLES

ROOT = Path(__file__).parents[1]
STEPS, BATCH, SIZE, FINDINGS = 8, 8, 32, ("A", "B", "C")
BASES = {"mirrored": "none-tensorflow", "data-parallel": "none-jax", "hosts": "none-jax"}
"""Maps each kind of distribution to the single device that it is compared with."""


def make_stream(share):
    """Returns random images with labels that are mostly missing in one half of each batch."""
    from mamsf_keras.data.batches.stream import Stream
    from tests.toys import array_dataset

    rng = np.random.default_rng(0)
    count = STEPS * BATCH
    labels = rng.integers(0, 2, (count, len(FINDINGS))).astype(np.float32)
    images = rng.integers(0, 256, (count, SIZE, SIZE), dtype=np.uint8)
    complete = Stream(array_dataset(images, labels, FINDINGS), SIZE, BATCH)
    late = np.concatenate([complete.rows(step)[BATCH // 2 :] for step in range(STEPS)])
    labels[late[rng.random(len(late)) < 0.9]] = np.nan
    labels[rng.random(labels.shape) < 0.2] = np.nan
    return Stream(array_dataset(images, labels, FINDINGS), SIZE, BATCH, share=share)


def trained(distribute, loss, backbone):
    """Trains and returns the losses of the steps, the weights, and the shadow on each device of this process."""
    import keras

    from mamsf_keras import MAMSFNet, SelectiveEMACallback, efficientnetv2
    from mamsf_keras.data.batches.feed import training_batches
    from mamsf_keras.devices import find_devices
    from mamsf_keras.training.phases import Phase, compile_for_phase
    from tests.toys import toy_backbone

    keras.utils.set_random_seed(0)
    devices = find_devices(distribute)
    clip_norm = 1e-2 if keras.backend.backend() == "jax" else 1.0  # under MirroredStrategy each device clips its share
    config = TrainConfig(".", loss=loss, distribute=distribute, epochs=STEPS, warmup=0.2, clip_norm=clip_norm)
    with devices.scope:
        if backbone == "toy":
            blocks = toy_backbone(SIZE, dropout=0.0, batch_norm=False)
        else:
            blocks = efficientnetv2(backbone, image_size=SIZE)
        model = MAMSFNet(blocks, FINDINGS, use_fusion=backbone != "toy", classifier_activation=None)
        stream = make_stream((devices.process, devices.processes))
        counts = (stream.labels == 1).sum(axis=0), (stream.labels == 0).sum(axis=0)
        compile_for_phase(model, Phase(0, STEPS, loss, 1e-2, reweighted=loss == "ldam"), config, 1, counts)
        history = model.fit(
            training_batches(stream, 0, STEPS),
            epochs=STEPS,
            steps_per_epoch=1,
            callbacks=[SelectiveEMACallback(0.9)],
            shuffle=False,
            verbose=0,
        )
        values = [np.array(history.history["loss"]), *map(keras.ops.convert_to_numpy, model.weights)]
        shadows = np.concatenate([copies(weight) for weight in model.anchor.shadow.weights], axis=1)
    return values, shadows, devices


def copies(variable):
    """Returns the values of a variable on each device of this process: `(devices, numbers)`."""
    import keras

    value = variable.value
    if keras.backend.backend() == "jax":
        held = [shard.data for shard in value.addressable_shards]
    else:
        held = getattr(value, "values", [value])
    return np.stack([np.ravel(copy) for copy in held])


def write(way, losses, backbone, out):
    """Trains one way with each loss in this process, and writes the results to `out`/PROCESS.npz."""
    if way == "mirrored":
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    distribute = {"mirrored": "mirrored", "data-parallel": "data-parallel", "hosts": "data-parallel"}.get(way, "none")
    found = {}
    for loss in losses:
        values, shadows, devices = trained(distribute, loss, backbone)
        found |= {f"{loss} {number}": value for number, value in enumerate(values)} | {f"{loss} shadows": shadows}
    np.savez(Path(out) / f"{devices.process}.npz", processes=devices.processes, **found)


def run(way, losses, backbone, folder):
    """Runs `write` in one or two new processes and returns the results, with the shadows of all devices."""
    out = Path(folder) / way
    out.mkdir()
    backend = "tensorflow" if way in ("mirrored", BASES["mirrored"]) else "jax"
    command = [sys.executable, "-m", "benchmarks.many_devices", "--way", way, "--out", str(out)]
    command += ["--losses", ",".join(losses), "--backbone", backbone]
    processes, devices = {"hosts": (2, 1), "data-parallel": (1, 2)}.get(way, (1, 1))
    codes, text = run_together(command, processes, devices, backend)
    if any(codes):
        raise ChildProcessError(f"{way} failed: {text}")
    found = [dict(np.load(out / f"{process}.npz")) for process in range(processes)]
    shadows = {f"{loss} shadows": np.concatenate([one[f"{loss} shadows"] for one in found]) for loss in losses}
    return {**found[0], **shadows}


def run_together(command, processes, devices, backend, timeout=1800) -> tuple[list[int], str]:
    """Runs a command in several connected processes, each with `devices` JAX CPU devices.

    Returns:
        Their exit codes and their output.
    """
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
    }
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        logs, running = [Path(folder) / str(number) for number in range(processes)], []
        for number, log in enumerate(logs):
            if processes > 1:
                known = (",".join([address] * processes), str(processes), str(number))
                environment |= dict(zip(VARIABLES, known, strict=True))
            out = stack.enter_context(open(log, "w"))
            running.append(subprocess.Popen(command, env=environment, stdout=out, stderr=subprocess.STDOUT, cwd=ROOT))
            stack.callback(running[-1].kill)
        codes = [process.wait(timeout) for process in running]
        return codes, "\n".join(log.read_text(errors="replace") for log in logs)


def relative_differences(one, many, loss) -> tuple[float, float]:
    """Returns ||a - b|| / ||a||: the largest over the losses and all weights, and that of the loss of step one."""
    names = [name for name in one if name.startswith(f"{loss} ") and not name.endswith("shadows")]
    pairs = [(one[name].astype(float).ravel(), many[name].astype(float).ravel()) for name in names]

    def difference(a, b):
        return np.linalg.norm(a - b) / max(np.linalg.norm(a), 1e-12)

    losses = pairs[0]
    return max(difference(a, b) for a, b in pairs), difference(losses[0][:1], losses[1][:1])


def differences(losses, backbone="toy"):
    """Compares every kind of distribution with one device.

    Yields:
        Way, devices, processes, loss, the two `relative_differences`, and the spread of the shadow over the devices.
    """
    with tempfile.TemporaryDirectory() as folder:
        bases = {base: run(base, losses, backbone, folder) for base in dict.fromkeys(BASES.values())}
        for way, base in BASES.items():
            many = run(way, losses, backbone, folder)
            for loss in losses:
                found = relative_differences(bases[base], many, loss)
                shadows = many[f"{loss} shadows"]
                yield way, len(shadows), int(many["processes"]), loss, *found, float(np.ptp(shadows, axis=0).max())


@click.command()
@click.option("--backbone", default="toy", show_default=True, help="toy, or an EfficientNetV2.")
@click.option("--losses", default=",".join(LOSSES), show_default=True)
@click.option("--way", hidden=True)
@click.option("--out", hidden=True)
def main(backbone, losses, way, out):
    """Print the largest relative difference of each way with each loss."""
    losses = losses.split(",")
    if way:
        write(way, losses, backbone, out)
        return
    for way, devices, processes, loss, largest, first, spread in differences(losses, backbone):
        print(
            f"{way:<14} {devices} devices, {processes} processes  {loss:<13} largest difference {largest:.1e}, "
            f"first loss {first:.1e}, spread of the shadow over the devices {spread:g}",
            flush=True,
        )


if __name__ == "__main__":
    main()

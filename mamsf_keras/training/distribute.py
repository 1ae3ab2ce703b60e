"""Training on many devices: `tf.distribute` on one host, `keras.distribution` on JAX on one or many.

The batch size is that of all devices together. Under JAX a step is that of one device. Under `MirroredStrategy` each
device has a batch norm of its own, which sees its share of the batch alone, and clips the gradient of its share.
"""

import contextlib
import dataclasses
import os

import keras

from mamsf_keras.training.environment import temporarily

BACKENDS = {"none": None, "mirrored": "tensorflow", "data-parallel": "jax"}
"""The backend that a way to distribute needs."""
VARIABLES = [f"KERAS_DISTRIBUTION_{name}" for name in ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID")]
"""Keras' environment variables: the addresses of all hosts, how many processes there are, which one this is."""


@dataclasses.dataclass(frozen=True)
class Devices:
    """What a run is distributed over.

    Attributes:
        scope: context manager in which models are built, compiled and trained.
        count: devices that share a batch.
        callbacks: what they need in `fit`, before all others.
        process: number of this process; 0 writes the files.
        processes: processes that share a batch, one a host.
    """

    scope: contextlib.AbstractContextManager
    count: int = 1
    callbacks: tuple[keras.callbacks.Callback, ...] = ()
    process: int = 0
    processes: int = 1

    def wait(self, name: str):
        """Waits until every process has come to this point."""
        if self.processes > 1:
            from jax.experimental import multihost_utils

            multihost_utils.sync_global_devices(name)

    def check_batch(self, batch_size: int):
        """Refuses a batch that the devices cannot share evenly."""
        if batch_size % self.count:
            fitting = max(batch_size // self.count, 1) * self.count
            raise ValueError(
                f"{self.count} devices cannot share a batch of {batch_size} images evenly: use --batch-size {fitting}, "
                "or fewer devices."
            )


def devices_for(distribute: str) -> Devices:
    """Finds the devices, and on JAX joins the other hosts if Keras' environment variables name them.

    Raises:
        ValueError: if the backend in use cannot distribute so, or only some of these variables are there.
    """
    needed, backend = BACKENDS[distribute], keras.backend.backend()
    if needed not in (None, backend):
        raise ValueError(f"--distribute {distribute} needs --backend {needed}. Keras runs on {backend}.")
    if distribute == "mirrored":
        return _mirrored()
    return _data_parallel() if distribute == "data-parallel" else Devices(contextlib.nullcontext())


def _mirrored() -> Devices:
    import tensorflow as tf

    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    strategy = tf.distribute.MirroredStrategy([device.name for device in devices])
    return Devices(strategy.scope(), strategy.num_replicas_in_sync, (FirstReplica(),))


class FirstReplica(keras.callbacks.Callback):
    """Gives all replicas the first one's batch-norm statistics after each epoch, before it is validated and saved.

    The files hold those of the first replica: so what was validated is what is saved, and a resumed run goes on as it
    was.
    """

    def on_epoch_end(self, epoch, logs=None):
        """Copies them."""
        for variable in self.model.non_trainable_variables:
            variable.assign(keras.ops.convert_to_numpy(variable))


def _data_parallel() -> Devices:
    import jax

    values = [os.environ.get(name) for name in VARIABLES]
    if any(values) and not all(values):
        raise ValueError(f"Many hosts need all of the environment variables {', '.join(VARIABLES)}.")
    if all(values) and not jax.distributed.is_initialized():
        addresses, processes, number = values
        jax.config.update("jax_enable_preemption_service", False)  # it would swallow SIGTERM
        jax.distributed.initialize(
            addresses.split(",")[0],
            int(processes),
            int(number),
            shutdown_timeout_seconds=60,  # so long the others may work on when one ends, by an error or at the end
        )
    distribution = DataParallel(auto_shard_dataset=False)  # the stream gives each process its share
    return Devices(distribution.scope(), jax.device_count(), (), jax.process_index(), jax.process_count())


class DataParallel(keras.distribution.DataParallel):
    """Data parallelism in which every process has the predictions of the whole batch."""

    def get_tensor_layout(self, path):
        """Has each device hold the whole output of the classifier; all else stays where it is."""
        if path.endswith("classifier/output"):
            return keras.distribution.TensorLayout([None, None], self.device_mesh)
        return None


def this_process_alone():
    """Has models built and used on this process' own device for a `with` block, though others take part in the run."""
    return temporarily(keras.distribution.distribution, keras.distribution.set_distribution, None)

"""Training on many devices: `tf.distribute` on one host, `keras.distribution` on JAX on one or many.

The batch size is that of all devices together. Under JAX a step is that of one device. Under `MirroredStrategy` each
device has a batch norm of its own, which sees its share of the batch alone, and clips the gradient of its share.
"""

import contextlib
import dataclasses
import os

import keras

BACKENDS = {"none": None, "mirrored": "tensorflow", "data-parallel": "jax"}
"""The backend that a way to distribute needs."""
ADDRESSES = "KERAS_DISTRIBUTION_JOB_ADDRESSES"
"""Keras' environment variable of all hosts' addresses."""


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
        KeyError: if one of these variables is missing.
        ValueError: if the backend in use cannot distribute so.
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

    if ADDRESSES in os.environ and not jax.distributed.is_initialized():
        jax.config.update("jax_enable_preemption_service", False)  # it would swallow SIGTERM
        jax.distributed.initialize(
            os.environ[ADDRESSES].split(",")[0],
            int(os.environ["KERAS_DISTRIBUTION_NUM_PROCESSES"]),
            int(os.environ["KERAS_DISTRIBUTION_PROCESS_ID"]),
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


@contextlib.contextmanager
def this_process_alone():
    """Builds and uses models on this process' own device for the block, though others take part in the run."""
    if keras.backend.backend() != "jax":
        yield
        return
    before = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(before)

"""The devices that a run trains on: one, several (`tf.distribute`, `keras.distribution`), or many hosts (JAX).

The batch size is that of all devices together. On JAX a distributed step computes what a step on one device computes.
Under `MirroredStrategy` each device has its own batch-norm statistics, over its share of the batch, and clips the
gradient of its share.
"""

import contextlib
import dataclasses
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import keras
from keras.src.utils import module_utils  # private: see `without_tensorflow`

BACKENDS = {"none": None, "mirrored": "tensorflow", "data-parallel": "jax"}
"""The backend that each value of `distribute` requires; None for any."""
VARIABLES = [f"KERAS_DISTRIBUTION_{name}" for name in ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID")]
"""Keras' environment variables: the addresses of all hosts, the number of processes, the index of this process."""


@dataclasses.dataclass(frozen=True)
class Devices:
    """The devices that a run is distributed over.

    Attributes:
        scope: context manager in which models are built, compiled and trained.
        count: number of devices that share a batch.
        mirrored: True if each device has its own copy of the variables, as under `MirroredStrategy`.
        process: index of this process. Process 0 writes the files.
        processes: number of processes that share a batch, one per host.
    """

    scope: contextlib.AbstractContextManager
    count: int = 1
    mirrored: bool = False
    process: int = 0
    processes: int = 1

    @property
    def writes(self) -> bool:
        """True in the process that writes the files."""
        return self.process == 0

    def wait(self, name: str) -> None:
        """Waits until every process has reached this point."""
        if self.processes > 1:
            from jax.experimental import multihost_utils

            multihost_utils.sync_global_devices(name)

    def check_batch(self, batch_size: int) -> None:
        """Raises `ValueError` if the devices cannot share a batch evenly."""
        if batch_size % self.count:
            fitting = max(batch_size // self.count, 1) * self.count
            raise ValueError(
                f"`batch_size` must be a multiple of the {self.count} devices, such as {fitting}. "
                f"Received: batch_size={batch_size}."
            )


def find_devices(distribute: str) -> Devices:
    """Finds the devices. On JAX it joins the other hosts if Keras' environment variables name them.

    Args:
        distribute: "none", "mirrored" or "data-parallel"; see `TrainConfig`.

    Raises:
        ValueError: if the backend does not support `distribute`, or only some of these variables are set.
    """
    needed, backend = BACKENDS[distribute], keras.backend.backend()
    if needed not in (None, backend):
        raise ValueError(f"`distribute` {distribute} needs `backend` {needed}. Keras runs on {backend}.")
    if distribute == "mirrored":
        return _mirrored()
    return _data_parallel() if distribute == "data-parallel" else Devices(contextlib.nullcontext())


def _mirrored() -> Devices:
    import tensorflow as tf

    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    strategy = tf.distribute.MirroredStrategy([device.name for device in devices])
    return Devices(strategy.scope(), strategy.num_replicas_in_sync, mirrored=True)


def _data_parallel() -> Devices:
    import jax

    values = [os.environ.get(name, "") for name in VARIABLES]
    if any(values) and not all(values):
        raise ValueError(f"Training on several hosts needs all of the environment variables {', '.join(VARIABLES)}.")
    if all(values) and not jax.distributed.is_initialized():
        addresses, processes, process = values
        jax.config.update("jax_enable_preemption_service", False)  # otherwise it would swallow SIGTERM
        jax.distributed.initialize(
            addresses.split(",")[0],
            int(processes),
            int(process),
            shutdown_timeout_seconds=60,  # how long the other processes keep running after one has ended
        )
    distribution = DataParallel(auto_shard_dataset=False)  # the stream gives each process its share
    return Devices(distribution.scope(), jax.device_count(), False, jax.process_index(), jax.process_count())


class DataParallel(keras.distribution.DataParallel):
    """Data parallelism in which every process gets the predictions of the whole batch."""

    def get_tensor_layout(self, path: str) -> keras.distribution.TensorLayout | None:
        """Replicates the output of the classifier on every device; everything else keeps its layout."""
        if path.endswith("classifier/output"):
            return keras.distribution.TensorLayout([None, None], self.device_mesh)
        return None


def this_process_alone() -> contextlib.AbstractContextManager[None]:
    """Returns a context manager in which models are not distributed but belong to this process alone."""
    return temporarily(keras.distribution.distribution, keras.distribution.set_distribution, None)


@contextlib.contextmanager
def temporarily(get: Callable[[], Any], set_to: Callable[[Any], object], value: Any) -> Iterator[None]:
    """Sets a global setting for the block and restores it afterwards."""
    before = get()
    set_to(value)
    try:
        yield
    finally:
        set_to(before)


@contextlib.contextmanager
def keras_defaults() -> Iterator[None]:
    """Resets Keras to its own defaults for the block (float32, channels last), regardless of `~/.keras/keras.json`.

    A dtype policy with float32 weights, such as `mixed_bfloat16`, is kept.
    """
    policy = keras.config.dtype_policy()
    policy = policy if policy.variable_dtype == "float32" else "float32"
    with (
        temporarily(keras.config.floatx, keras.config.set_floatx, "float32"),
        temporarily(keras.config.image_data_format, keras.config.set_image_data_format, "channels_last"),
        temporarily(keras.config.epsilon, keras.config.set_epsilon, 1e-7),
        temporarily(keras.config.dtype_policy, keras.config.set_dtype_policy, policy),
    ):
        yield


@contextlib.contextmanager
def without_tensorflow() -> Iterator[None]:
    """Keeps Keras on JAX and PyTorch from importing TensorFlow for the block.

    Where TensorFlow is installed, Keras 3.15 imports it to seed it and to compare types when a model is saved. That
    takes seconds and 0.5 GB, and on a GPU TensorFlow would take the memory that the backend needs. Keras offers no
    switch, so it is told that TensorFlow is not available.
    """
    if keras.backend.backend() == "tensorflow" or "tensorflow" in sys.modules:
        yield
        return
    tensorflow = module_utils.tensorflow
    with temporarily(lambda: tensorflow._available, lambda value: setattr(tensorflow, "_available", value), False):
        yield


@contextlib.contextmanager
def without_gradients() -> Iterator[None]:
    """Keeps PyTorch from recording the operations of the block for gradients, which takes memory.

    Keras does this in `predict`, but not where a model is called directly. TensorFlow and JAX record only on request.
    """
    if keras.backend.backend() != "torch":
        yield
        return
    import torch

    with torch.no_grad():
        yield


def list_devices() -> list[str]:
    """Lists the devices of the backend. Keras' own `list_devices` does not support PyTorch."""
    if keras.backend.backend() != "torch":
        return keras.distribution.list_devices()
    import torch

    return [f"cuda:{number}" for number in range(torch.cuda.device_count())] or ["cpu"]


def on_gpu() -> bool:
    """Returns True if the backend computes on a GPU."""
    return any(word in name.lower() for name in list_devices() for word in ("gpu", "cuda"))


def make_deterministic() -> None:
    """Asks the backend for deterministic operations. Call it before the first one. On a CPU, JAX always has them."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    elif backend == "torch":
        import torch

        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # required by cuBLAS
        torch.use_deterministic_algorithms(True)
    else:
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_gpu_deterministic_ops=true".strip()

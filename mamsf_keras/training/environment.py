"""What a run ran on: versions, backend, devices, source state, data fingerprint."""

import contextlib
import hashlib
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

import keras

import mamsf_keras
from mamsf_keras.data.shard import PIXEL_COLUMNS

PACKAGES = ("keras", "tensorflow", "jax", "torch", "keras-cv", "numpy", "pandas", "scikit-learn", "pillow")


def environment(table, findings) -> dict:
    """Describes the environment of a run as a JSON-ready dictionary.

    Args:
        table: the studies table of the run, whose images and labels are fingerprinted.
        findings: names of its label columns.
    """
    ours = ["path", "row", *PIXEL_COLUMNS]  # of the files, not of the studies
    studies = table.drop(columns=ours, errors="ignore").astype(dict.fromkeys(findings, "float32"))
    content = studies.to_csv(index=False).encode()
    return {
        "mamsf-keras": mamsf_keras.__version__,
        "git": _git_state(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "backend": keras.backend.backend(),
        "devices": devices(),
        "data": {"images": len(table), "sha256": hashlib.sha256(content).hexdigest()},
    }


def devices() -> list[str]:
    """Names the devices of the backend; Keras' own `list_devices` does not know PyTorch's."""
    if keras.backend.backend() != "torch":
        return keras.distribution.list_devices()
    import torch

    return [f"cuda:{number}" for number in range(torch.cuda.device_count())] or ["cpu"]


def on_gpu() -> bool:
    """Tells whether the backend computes on a GPU."""
    return any(word in name.lower() for name in devices() for word in ("gpu", "cuda"))


@contextlib.contextmanager
def temporarily(get, set_to, value):
    """Gives a global setting a value for the block."""
    before = get()
    set_to(value)
    try:
        yield
    finally:
        set_to(before)


def make_deterministic():
    """Asks the backend for deterministic operations, before its first one. JAX on a CPU has no others."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    elif backend == "torch":
        import torch

        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS asks for it
        torch.use_deterministic_algorithms(True)
    else:
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_gpu_deterministic_ops=true".strip()


def _version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git_state() -> str | None:
    """Returns the commit of the source checkout, None for an installed package."""
    source = Path(mamsf_keras.__file__).parents[1]
    if not (source / ".git").exists():
        return None
    command = ["git", "-C", str(source), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None

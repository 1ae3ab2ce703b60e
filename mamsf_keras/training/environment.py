"""The environment of a run: versions, backend, devices, source state, data fingerprint."""

import importlib.metadata
import platform
import subprocess
from pathlib import Path

import keras

import mamsf_keras
from mamsf_keras.data.dataset import Dataset
from mamsf_keras.devices import list_devices

PACKAGES = ("keras", "tensorflow", "jax", "torch", "keras-cv", "numpy", "pandas", "scikit-learn", "pillow")


def describe_environment(dataset: Dataset) -> dict:
    """Describes the environment of a run on a data set as a JSON-ready dictionary."""
    return {
        "mamsf-keras": mamsf_keras.__version__,
        "git": _git_state(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "backend": keras.backend.backend(),
        "floatx": keras.config.floatx(),
        "image_data_format": keras.config.image_data_format(),
        "devices": list_devices(),
        "data": dataset.fingerprint,
        "data_kind": dataset.kind,
    }


def _version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git_state() -> str | None:
    """Returns the commit of the source checkout, or None for an installed package."""
    source = Path(mamsf_keras.__file__).parents[1]
    if not (source / ".git").exists():
        return None
    command = ["git", "-C", str(source), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None

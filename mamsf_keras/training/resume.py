"""What must be the same for a run to go on."""

import dataclasses
import json
from pathlib import Path

from mamsf_keras.config import TrainConfig

MAY_DIFFER = {
    "data_dir",
    "labels_csv",
    "cache",
    "cache_dir",
    "allow_missing",
    "weights",
    "epochs",
    "distribute",
    "jit",
    "mlflow",
}
"""Fields of the configuration that a resumed run may have otherwise: paths, devices, and where it ends."""


def check_resumable(old: TrainConfig, new: TrainConfig):
    """Refuses a run of another configuration.

    Raises:
        ValueError: names each field that differs, its old and its new value.
    """
    old, new = dataclasses.asdict(old), dataclasses.asdict(new)
    changed = [name for name in old if old[name] != new[name] and name not in MAY_DIFFER]
    if changed:
        text = "; ".join(f"{name} was {old[name]}, now {new[name]}" for name in changed)
        raise ValueError(f"The run cannot go on with another configuration: {text}. Begin a new one.")


def check_same_surroundings(run_dir, surroundings: dict):
    """Refuses another backend, and images or labels that are not those the run began with, by their fingerprint.

    Args:
        run_dir: of the run; its `environment.json` says what it began with.
        surroundings: what `environment` says now.

    Raises:
        ValueError: says what it was and is.
    """
    before = json.loads((Path(run_dir) / "environment.json").read_text(encoding="utf-8"))
    if before["backend"] != surroundings["backend"]:
        raise ValueError(
            f"The run cannot go on with another backend: it began on {before['backend']}, now it is "
            f"{surroundings['backend']}. Use --backend {before['backend']}."
        )
    old, data = before["data"], surroundings["data"]
    if old != data:
        raise ValueError(
            f"The run cannot go on with other data: it began with {old['images']} images, now there are "
            f"{data['images']}, or labels, patients or parts changed. Begin a new run."
        )

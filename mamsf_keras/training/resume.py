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


def check_same_data(run_dir, data: dict):
    """Refuses images or labels that are not those the run began with, by their fingerprint.

    Raises:
        ValueError: says how many images there were and are.
    """
    old = json.loads((Path(run_dir) / "environment.json").read_text(encoding="utf-8"))["data"]
    if old != data:
        raise ValueError(
            f"The run cannot go on with other data: it began with {old['images']} images, now there are "
            f"{data['images']}, or labels, patients or parts changed."
        )

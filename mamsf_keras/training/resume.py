"""What must be the same for a run to go on."""

import dataclasses
import json
from pathlib import Path

from mamsf_keras.config import LABEL_OPTIONS, TrainConfig
from mamsf_keras.training.phases import phase_of

MAY_DIFFER = {
    *LABEL_OPTIONS,
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
"""Fields of the configuration that a resumed run may have otherwise: paths, devices, and where it ends. Labels are
compared by their fingerprint: a cache has them without the options that they were read by."""


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


def check_end(old: TrainConfig, new: TrainConfig, done: int):
    """Refuses another end that the epochs which are done do not lead to.

    Args:
        old: the configuration that they were trained with.
        new: that of the run from now on.
        done: epochs that are done.

    Raises:
        ValueError: if there are more of them than the run is to have, or the last of them belongs to another phase
            then, which has an optimizer of its own.

    Another end that they lead to is said: the rate goes on along another cosine.
    """
    if done > new.epochs:
        raise ValueError(f"{done} epochs are done: the run cannot end after {new.epochs}.")
    if not done:
        return
    was, now = phase_of(old, done - 1), phase_of(new, done - 1)
    if was.first != now.first:
        raise ValueError(
            f"The run cannot go on to {new.epochs} epochs: epoch {done} was trained in the phase that begins with "
            f"epoch {was.first + 1} ({was.loss}), and then would belong to that of epoch {now.first + 1} ({now.loss}). "
            "Begin a new run."
        )
    if old.epochs != new.epochs:
        print(f"note: the learning rate goes on along the cosine of {new.epochs} epochs; so far it was {old.epochs}")


def check_same_surroundings(run_dir, surroundings: dict):
    """Refuses another backend, and images or labels that are not those the run began with, by their fingerprint.

    Other versions and devices are said.

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
    was, now = ({**one, **one["packages"]} for one in (before, surroundings))
    names = [name for name in {**was, **now} if name not in ("data", "packages")]
    changed = [f"{name} was {was.get(name)}, now {now.get(name)}" for name in names if was.get(name) != now.get(name)]
    if changed:
        print(f"note: the run may end otherwise than an undisturbed one: {'; '.join(changed)}")

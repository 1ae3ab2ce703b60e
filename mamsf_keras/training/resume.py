"""Checks that a run is resumed with the same configuration, data and backend."""

import dataclasses
import logging

from mamsf_keras.config import TrainConfig
from mamsf_keras.data.open import relocated
from mamsf_keras.run_dir import RunDir
from mamsf_keras.settings import require
from mamsf_keras.training.history import History
from mamsf_keras.training.phases import phase_of

MAY_DIFFER = {
    "data_dir",
    "labels_csv",
    "cache",
    "allow_missing",
    "weights",
    "epochs",
    "phases",
    "distribute",
    "jit",
    "mlflow",
}
"""Fields of the configuration that may differ in a resumed run: paths, devices, and where it ends. Labels are compared
by their fingerprint: a cache has them without the options that they were read with."""

logger = logging.getLogger(__name__)


def resumed_config(run: RunDir, config: TrainConfig) -> TrainConfig:
    """Returns the configuration of a resumed run. If its data folder is now a cache, the labels come from the cache.

    Args:
        run: the run to resume.
        config: the configuration to resume it with.

    Raises:
        ValueError: names each field that differs and must not, with its old and its new value.
    """
    old = run.config
    if config.labels_csv == old.labels_csv:
        moved = relocated(dataclasses.replace(config, data_dir=old.data_dir), config.data_dir)
        config = dataclasses.replace(moved, cache=config.cache)
    before, now = dataclasses.asdict(old), dataclasses.asdict(config)
    changed = [name for name in before if before[name] != now[name] and name not in MAY_DIFFER]
    if changed:
        text = "; ".join(f"{name} was {before[name]}, now {now[name]}" for name in changed)
        raise ValueError(f"The run cannot be resumed with another configuration: {text}. Start a new run.")
    return config


def check_end(old: TrainConfig, new: TrainConfig, history: History) -> None:
    """Checks that a run may end after `new.epochs` epochs, and logs a note if that changes the learning rate.

    Args:
        old: the configuration that the finished epochs were trained with.
        new: the configuration to continue with.
        history: the finished epochs.

    Raises:
        ValueError: if more epochs are finished than `new` has, or if one of them would then belong to a different
            phase, which has its own optimizer.
    """
    done = len(history)
    assert new.epochs is not None  # `TrainConfig` fills it in
    require(new.epochs >= done, "epochs", f"be at least the number of finished epochs, {done}", new.epochs)
    for epoch in range(done):
        was, now = phase_of(old, epoch), phase_of(new, epoch)
        if dataclasses.replace(was, end=now.end) != now:
            raise ValueError(
                f"The run cannot be extended to {new.epochs} epochs: epoch {epoch + 1} was trained in the phase that "
                f"starts with epoch {was.first + 1} ({was.loss}), and would then belong to the phase that starts with "
                f"epoch {now.first + 1} ({now.loss}). Start a new run."
            )
    if not done:
        return
    was, now = phase_of(old, done - 1), phase_of(new, done - 1)
    if was.end != now.end:
        spans = (now.end - now.first, was.end - was.first)
        logger.info("note: the learning-rate schedule of this phase now spans %d epochs (was %d)", *spans)


def check_environment(run: RunDir, environment: dict) -> None:
    """Checks backend and data against those that a run was started with, and logs other versions and devices.

    Args:
        run: the run.
        environment: what `describe_environment` returns now.

    Raises:
        ValueError: if the backend differs, or the images, labels or splits differ in their fingerprint.
    """
    before = run.read_environment()
    if before["backend"] != environment["backend"]:
        raise ValueError(
            f"The run cannot be resumed on another backend: it was started on {before['backend']}, but Keras now runs "
            f"on {environment['backend']}. Use `backend` {before['backend']}."
        )
    old, data = before["data"], environment["data"]
    if old != data:
        raise ValueError(
            f"The run cannot be resumed on other data: it was started with {old['images']} images, and now there are "
            f"{data['images']}, or labels, patients or splits changed. Start a new run."
        )
    was, now = ({**one, **one["packages"]} for one in (before, environment))
    names = [name for name in {**was, **now} if name not in ("data", "data_kind", "packages")]
    changed = [f"{name} was {was.get(name)}, now {now.get(name)}" for name in names if was.get(name) != now.get(name)]
    if changed:
        logger.info("note: results may differ from an uninterrupted run: %s", "; ".join(changed))

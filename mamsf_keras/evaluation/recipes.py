"""Checks that runs can be compared: several seeds of two recipes, evaluated on the same images."""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mamsf_keras.config import TrainConfig
from mamsf_keras.data.tables import count_and_first
from mamsf_keras.run_dir import RunDir
from mamsf_keras.storage import checksum

PATHS = ("data_dir", "cache", "mlflow")
"""Fields that are paths. The data themselves are compared by their fingerprint."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """The runs of one recipe, which may differ only in their seeds and paths.

    Attributes:
        runs: the runs.
        seeds: the seed of each run.
        settings: what the runs have in common, by field.
        training_data: fingerprint of the data that the runs were trained on; None if the runs do not record it.
    """

    runs: tuple[RunDir, ...]
    seeds: tuple[int, ...]
    settings: dict[str, Any]
    training_data: dict | None


def read_recipes(runs: Iterable[str | Path], against: Iterable[str | Path]) -> tuple[Recipe, Recipe]:
    """Opens the runs of two recipes.

    Raises:
        FileNotFoundError: if a run does not exist.
        ValueError: if `runs` or `against` is empty, a run is named more than once, or the runs of one recipe share a
            seed or differ in more than seed and paths; names the runs and fields.
    """
    sides = [RunDir.open(path) for path in runs], [RunDir.open(path) for path in against]
    for name, side in zip(("runs", "against"), sides, strict=True):
        if not side:
            raise ValueError(f"`{name}` must name at least one run.")
    _check_named_once(*sides)
    return _recipe(sides[0]), _recipe(sides[1])


def differing_fields(first: Recipe, second: Recipe) -> dict[str, list]:
    """Returns the values of both recipes by field, for the fields in which they differ."""
    return {
        name: [first.settings.get(name), second.settings.get(name)]
        for name in first.settings | second.settings
        if first.settings.get(name) != second.settings.get(name)
    }


def evaluation_records(runs: Sequence[RunDir], split: str) -> tuple[dict[str, Any], list[str]]:
    """Returns what the evaluations of the runs have in common, and notes on what cannot be checked.

    Args:
        runs: the runs of both recipes.
        split: "train", "validation" or "test".

    Returns:
        `protocol`, `fingerprint` and `groups` (of the findings), None where no run records them; and the notes.

    Raises:
        ValueError: if a run was evaluated on other data, or its predictions are those of an earlier model.
    """
    records = {run.path: run.read_metrics(split) for run in runs}
    unknown = [path for path, record in records.items() if not record]
    note = f"Runs without {split} metrics, whose data and model are not checked: {count_and_first(unknown)}."
    common: dict[str, Any] = {}
    for field in ("protocol", "fingerprint"):
        known = [(path, record[field]) for path, record in records.items() if field in record]
        for path, value in known:
            if value != known[0][1]:
                raise ValueError(
                    f"{known[0][0]} and {path} were evaluated on different data: their {split} metrics have the "
                    f"{field} {_short(known[0][1])} and {_short(value)}. Evaluate all runs on the same data."
                )
        common[field] = known[0][1] if known else None
    for run in runs:
        model, recorded = checksum(run.model("best")), records[run.path].get("model_sha256")
        if model is not None and recorded is not None and model != recorded:
            raise ValueError(
                f"The {split} predictions of {run.path} do not belong to its current {run.model('best').name}. "
                "Evaluate the run again."
            )
    common["groups"] = next((groups for record in records.values() if (groups := _groups(record))), None)
    return common, [note] if unknown else []


def _groups(record) -> dict[str, str]:
    return {name: row["group"] for name, row in record.get("findings", {}).items() if row.get("group")}


def _short(value) -> str:
    """Formats a fingerprint as "(25596 images, sha256 9b8a01c2d3e4)"; other values as they are."""
    return f"({value['images']} images, sha256 {value['sha256'][:12]})" if isinstance(value, dict) else str(value)


def _check_named_once(first, second):
    places: dict[Path, int] = {}
    for side, runs in enumerate((first, second)):
        for run in runs:
            place = run.path.resolve()
            if place in places:
                where = "twice in one recipe" if places[place] == side else "in both recipes"
                raise ValueError(f"The run {run.path} is named {where}.")
            places[place] = side


def _recipe(runs) -> Recipe:
    """Returns the recipe of several runs; raises `ValueError` if they do not belong to one."""
    one = _single(runs[0])
    seeds: dict[int, RunDir] = {}
    for run in runs:
        other = _single(run)
        different = [f"`{name}` ({a}, {b})" for name, (a, b) in differing_fields(one, other).items()]
        if different:
            raise ValueError(
                f"The runs of a recipe may differ in seed and paths only. {runs[0].path} and {run.path} differ in "
                f"{', '.join(different)}."
            )
        if other.training_data != one.training_data:
            raise ValueError(
                f"The runs of a recipe must be trained on the same data. {runs[0].path} and {run.path} were not."
            )
        if run.config.seed in seeds:
            raise ValueError(
                f"{seeds[run.config.seed].path} and {run.path} have the same `seed` ({run.config.seed}): the seeds of "
                "a recipe must differ."
            )
        seeds[run.config.seed] = run
    return dataclasses.replace(one, runs=tuple(runs), seeds=tuple(seeds))


def _single(run) -> Recipe:
    environment = run.read_environment() if run.environment.exists() else {}
    settings = {**_settings(run.config), "backend": environment.get("backend")}
    return Recipe((run,), (run.config.seed,), settings, environment.get("data"))


def _settings(config: TrainConfig) -> dict[str, Any]:
    """Returns the fields of a configuration without seed and paths. Split and weights files become their checksums."""
    fields = dataclasses.asdict(config)
    labels = fields.pop("labels_csv") or {}
    fields = {name: value for name, value in fields.items() if name not in ("seed", *PATHS)}
    fields |= {name: value for name, value in labels.items() if name != "path"}
    kind, _, path = fields["protocol"].partition(":")
    fields["protocol"] = f"{kind}:{checksum(path) or path}" if path else kind
    if fields["weights"] not in ("imagenet", "none"):
        fields["weights"] = checksum(fields["weights"]) or fields["weights"]
    return fields

"""Compares two recipes, each with several seeds, on the predictions of one split. Does not need Keras."""

import logging
from collections.abc import Iterable
from pathlib import Path

from mamsf_keras.config import SPLITS
from mamsf_keras.evaluation.align import align
from mamsf_keras.evaluation.bootstrap import RESAMPLES
from mamsf_keras.evaluation.differences import compare_predictions
from mamsf_keras.evaluation.predictions import Predictions
from mamsf_keras.evaluation.recipes import Recipe, differing_fields, evaluation_records, read_recipes
from mamsf_keras.evaluation.significance import FEWEST_SEEDS
from mamsf_keras.reports.comparison import comparison_markdown, write_comparison_page
from mamsf_keras.run_dir import RunDir
from mamsf_keras.settings import require_choice
from mamsf_keras.storage import atomic_write, write_json

logger = logging.getLogger(__name__)

SCHEMA_VERSION = 2
"""Version of `comparison.json`; docs/comparison.md describes its fields."""


def compare(
    runs: Iterable[str | Path],
    against: Iterable[str | Path],
    out: str | Path,
    split: str = "test",
    *,
    overwrite: bool = False,
    resamples: int = RESAMPLES,
) -> dict:
    """Compares two recipes by the predictions of their runs, and writes the results into a folder.

    The `runs` belong to recipe A, the runs in `against` to recipe B. The runs of a recipe may differ only in their
    seed and paths. Each run needs `predictions-SPLIT.csv`, which `evaluate` writes. The results are `comparison.json`,
    `comparison.md` and `comparison.html`.

    ```python
    compare([f"runs/asl-{i}" for i in range(5)], [f"runs/bce-{i}" for i in range(5)], "asl-or-bce")
    ```

    Args:
        runs: folders of the runs of recipe A.
        against: folders of the runs of recipe B.
        out: folder for the results; it is created if needed.
        split: "train", "validation" or "test".
        overwrite: whether to replace existing results.
        resamples: number of resamples of the patients.

    Returns:
        What `comparison.json` holds; docs/comparison.md describes it.

    Raises:
        FileNotFoundError: if a run or its predictions do not exist.
        FileExistsError: if the folder already contains results.
        ValueError: if the runs of a recipe do not belong together, or the two recipes were not evaluated on the same
            images and labels; names the runs.
    """
    folder = Path(out)
    require_choice(split, "split", SPLITS)
    if (folder / "comparison.json").exists() and not overwrite:
        raise FileExistsError(f"{folder} already contains a comparison. Choose another `out`, or use `overwrite`.")
    recipes = read_recipes(runs, against)
    all_runs = [run for recipe in recipes for run in recipe.runs]
    records, notes = evaluation_records(all_runs, split)
    models = align({run.path: _predictions(run, split) for run in all_runs})
    groups = records.pop("groups")
    notes += _notes(recipes, groups)
    for note in notes:
        logger.info(note)
    result = {
        "schema_version": SCHEMA_VERSION,
        "split": split,
        **records,
        **_describe(recipes),
        "notes": notes,
        **compare_predictions(models, len(recipes[0].runs), groups or {}, resamples),
    }
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_write(folder / "comparison.md") as temporary:
        temporary.write_text(comparison_markdown(result), encoding="utf-8")
    write_comparison_page(result, folder / "comparison.html")
    write_json(folder / "comparison.json", result)
    return result


def _predictions(run: RunDir, split: str) -> Predictions:
    path = run.predictions(split)
    if not path.is_file():
        raise FileNotFoundError(f"{run.path} has no {path.name}. Run `evaluate` on the {split} split first.")
    return Predictions.read(path)


def _describe(recipes: tuple[Recipe, Recipe]) -> dict:
    """Returns `recipes` and `settings`, the values of both recipes in the fields in which they differ."""
    described = {
        name: {"runs": [str(run.path) for run in recipe.runs], "seeds": list(recipe.seeds)}
        for name, recipe in zip("AB", recipes, strict=True)
    }
    return {"recipes": described, "settings": differing_fields(*recipes)}


def _notes(recipes: tuple[Recipe, Recipe], groups: dict | None) -> list[str]:
    notes = []
    counts = [len(recipe.runs) for recipe in recipes]
    if min(counts) < FEWEST_SEEDS:
        notes.append(
            f"Not enough seeds: recipe A has {counts[0]}, recipe B has {counts[1]}, and a test needs {FEWEST_SEEDS} "
            "per recipe. Only the differences are reported."
        )
    if not differing_fields(*recipes):
        notes.append("The two recipes have the same settings.")
    if recipes[0].training_data != recipes[1].training_data:
        notes.append("The two recipes were trained on different data.")
    if groups is None:
        notes.append(
            "No run records which findings are head, medium or tail, so no means are reported for these groups."
        )
    return notes

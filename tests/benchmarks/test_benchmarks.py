import ast
import importlib
import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from tests.conftest import BACKEND


def run(command, *arguments):
    result = CliRunner().invoke(command, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.tensorflow
@pytest.mark.parametrize("path", sorted((Path(__file__).parents[2] / "benchmarks").glob("*.py")), ids=lambda p: p.stem)
def test_what_a_function_imports_from_the_library_exists(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("mamsf_keras"):
            for alias in node.names:
                try:
                    importlib.import_module(f"{node.module}.{alias.name}")
                except ModuleNotFoundError:
                    assert hasattr(importlib.import_module(node.module), alias.name)


@pytest.mark.no_keras
def test_no_benchmark_writes_its_phantoms_into_the_folder_of_the_demo():
    root = Path(__file__).parents[2]
    demo = re.search(r"^DATA_DIR \?= (\S+)$", (root / "Makefile").read_text(), re.MULTILINE)[1]
    pages = [root / "docs" / "benchmarks.md", *(root / "benchmarks").glob("*.py")]
    folders = {out for page in pages for out in re.findall(r"phantom --out (\S+)", page.read_text())}
    assert folders and demo not in folders


def test_decay_schedules_are_drawn(tmp_path):
    from benchmarks.decay_schedules import main

    run(main, "--out", tmp_path / "decay.png", "--updates", 100)
    assert Image.open(tmp_path / "decay.png").size == (1500, 600)


@pytest.mark.skipif(BACKEND != "torch", reason="building six graphs takes minutes; PyTorch builds none")
def test_step_time_prints_every_row():
    from benchmarks.step_time import main

    text = run(main, "--image-size", 32, "--batch-size", 2, "--steps", 2)
    assert text.count("x plain") >= 6 and "shadow update alone" in text and "% of its FLOPs" in text


@pytest.mark.slow
@pytest.mark.no_keras
def test_input_pipeline_prints_every_row(nih_dir):
    from benchmarks.input_pipeline import main

    text = run(main, "--images", nih_dir / "originals_1024", "--count", 200, "--rounds", 1)
    assert text.count("images/s") >= 8 and "x Pillow" in text and "peak memory" in text


@pytest.mark.no_keras
def test_intervals_of_patients_cover_and_those_of_images_do_not():
    from benchmarks.intervals import coverage

    shares = coverage(32, patients=150, simulations=200, resamples=300)
    assert 0.88 <= shares["patients"] <= 0.99
    assert shares["images"] < 0.88


@pytest.mark.no_keras
def test_simulations_without_an_interval_do_not_count():
    """With an AUROC of 0.9995, the scores of many simulations separate the labels."""
    from benchmarks.intervals import coverage

    shares = coverage(10, auroc=0.9995, patients=40, simulations=12, resamples=50)
    assert all(0 <= share <= 1 for share in shares.values())


@pytest.mark.no_keras
def test_false_positives_are_rare_with_few_patients_too():
    from benchmarks.intervals import rejections_with_few_patients

    shares = rejections_with_few_patients(10, simulations=60, resamples=100)
    assert shares["auroc"] < 0.15 and shares["average_precision"] < 0.15


@pytest.mark.no_keras
def test_false_positives_are_rare_with_seeds_and_patients_and_frequent_with_patients_only():
    from benchmarks.intervals import rejections

    for recipe_noise in (0.0, 0.3):
        shares = rejections(0.2, recipe_noise, simulations=60, resamples=100)
        assert shares["seeds and patients"] < 0.12
        assert shares["patients alone"] > 0.3
    assert rejections(0.02, 0.0, gain=0.5, simulations=10, resamples=100)["seeds and patients"] > 0.9


@pytest.mark.no_keras
def test_population_auroc_is_the_mean_over_simulations():
    import numpy as np
    from sklearn.metrics import roc_auc_score

    from benchmarks.intervals import population_auroc, simulate_recipes

    found = []
    for seed in range(20):
        positive, recipes, _ = simulate_recipes(np.random.default_rng(seed), 5, 0.2, 0.3, gain=0.2)
        found.append([np.mean([roc_auc_score(positive, scores) for scores in recipe]) for recipe in recipes])
    expected = [population_auroc(0.2, 0.2), population_auroc(0.2)]
    np.testing.assert_allclose(np.mean(found, axis=0), expected, atol=0.015)


@pytest.mark.no_keras
def test_intervals_print_every_row():
    from benchmarks.intervals import main

    lines = [line for line in run(main, "--simulations", 2).splitlines() if line.count(" | ") in (3, 4)]
    assert len(lines) == 2 + 3 + 6

import json
import subprocess
import sys

import pytest

from mamsf_keras import RunDir
from tests.cli.checks import check_fails
from tests.recipes import write_recipe
from tests.runs import invoke, succeeded

pytestmark = pytest.mark.no_keras


@pytest.fixture
def recipes(tmp_path):
    return write_recipe(tmp_path, "a", gain=1, loss="asl"), write_recipe(tmp_path, "b")


def runs_of(out):
    recipes = json.loads((out / "comparison.json").read_text())["recipes"]
    return [recipe["runs"] for recipe in recipes.values()]


def test_all_arguments_after_against_are_runs_of_the_other_recipe(recipes, tmp_path):
    a, b = (side[:2] for side in recipes)
    given = [[str(path) for path in side] for side in (a, b)]
    for i, words in enumerate(
        (
            [*a, "--against", *b, "--out", tmp_path / "0"],
            ["--against", *b, "--out", tmp_path / "1", *a],
            ["--out", tmp_path / "2", "--against", b[0], "--against", *b[1:], "--quiet", *a],
            [f"--out={tmp_path / '3'}", "--against", *b, "--split", "test", "--", *a],
        )
    ):
        assert f"written: {tmp_path / str(i)}" in succeeded("compare", *words)
        assert runs_of(tmp_path / str(i)) == given


def test_shell_patterns_work_on_both_sides_without_keras(recipes, tmp_path):
    code = (
        "import sys; from mamsf_keras.cli import main; main(standalone_mode=False); "
        "print({'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules))"
    )
    command = f'{sys.executable} -c "{code}" compare a-[01] --against b-* --out out'
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert runs_of(tmp_path / "out") == [["a-0", "a-1"], [f"b-{seed}" for seed in range(5)]]
    assert done.stdout.splitlines()[-2:] == ["written: out", "set()"]


def test_result_is_printed_in_words(recipes, tmp_path):
    a, b = recipes
    text = succeeded("compare", *a, "--against", *b, "--out", tmp_path / "out")
    assert "The recipes differ in loss: asl (A), bce (B)" in text
    assert (
        "A is higher" in text and "fewer than 10 positive or 10 negative patients" in text and "patient SD, A" in text
    )
    text = succeeded("compare", *a[:4], "--against", *b, "--out", tmp_path / "few")
    assert "Not enough seeds: recipe A has 4, recipe B has 5" in text and "not enough seeds" in text
    same = succeeded("compare", a[0], a[2], a[4], "--against", a[1], a[3], "--out", tmp_path / "same")
    assert "The two recipes have the same settings." in same
    for printed in (text, same):
        assert "no difference" not in printed


def test_bad_input_gives_a_one_line_error(recipes, tmp_path):
    a, b = recipes
    out = ["--out", tmp_path / "out"]
    check_fails(tmp_path, ["compare", "--against", *b, *out], 2, "Missing argument")
    check_fails(tmp_path, ["compare", *a, *out], 2, "--against")
    check_fails(tmp_path, ["compare", *a, "--against", *out], 2, "--against")
    check_fails(tmp_path, ["compare", *a, "--against", *b], 2, "--out")
    check_fails(tmp_path, ["compare", *a, "--against", *b, *out, "--split", "val"], 2, "--split")
    check_fails(tmp_path, ["compare", *a, "--against", tmp_path, *out], 1, "is not a run folder")
    check_fails(tmp_path, ["compare", *a, "--against", *b, a[0], *out], 1, "a-0 is named in both recipes")
    check_fails(tmp_path, ["compare", *a, b[0], "--against", *b[1:], *out], 1, "differ in `loss` (asl, bce)")
    RunDir(b[1]).predictions("test").unlink()
    check_fails(tmp_path, ["compare", *a, "--against", *b, *out], 1, "b-1 has no predictions-test.csv", "evaluate")


def test_results_are_replaced_only_with_overwrite(recipes, tmp_path):
    a, b = (side[:1] for side in recipes)
    command = ["compare", *a, "--against", *b, "--out", tmp_path / "out"]
    succeeded(*command)
    check_fails(tmp_path, command, 1, "already contains a comparison. Choose another --out, or use --overwrite")
    succeeded(*command, "--overwrite")


def test_help_has_an_example():
    assert "mamsf-keras compare runs/asl-* --against runs/bce-* --out" in invoke("compare", "--help").output

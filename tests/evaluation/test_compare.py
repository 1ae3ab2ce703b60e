import json
import subprocess
import sys

import pandas as pd
import pytest

from mamsf_keras import RunDir
from mamsf_keras.evaluation.compare import compare
from tests.recipes import write_metrics, write_recipe
from tests.toys import contents

pytestmark = pytest.mark.no_keras


@pytest.fixture
def recipes(tmp_path):
    """Five runs of two recipes that differ in their loss."""
    return write_recipe(tmp_path, "a", loss="asl", gain=1), write_recipe(tmp_path, "b")


def rewrite(path, change):
    """Changes the file of predictions of a run."""
    file = RunDir(path).predictions("test")
    change(pd.read_csv(file, dtype=str, keep_default_na=False)).to_csv(file, index=False)


def test_results_are_strict_json_and_describe_the_comparison(recipes, tmp_path):
    for path in (*recipes[0], *recipes[1]):
        write_metrics(path)
    result = compare(*recipes, tmp_path / "out", resamples=20)
    assert sorted(contents(tmp_path / "out")) == ["comparison.html", "comparison.json", "comparison.md"]
    text = (tmp_path / "out" / "comparison.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail) == result
    assert (result["schema_version"], result["split"], result["protocol"]) == (2, "test", "official")
    assert (result["images"], result["patients"], result["resamples"]) == (180, 60, 20)
    assert result["recipes"]["A"] == {"runs": [str(path) for path in recipes[0]], "seeds": [0, 1, 2, 3, 4]}
    assert result["settings"] == {"loss": ["asl", "bce"]} and result["notes"] == []
    assert list(result["means"]) == ["macro", "head", "medium", "tail"]
    assert result["findings"]["Effusion"]["auroc"]["result"] == "A is higher"


def test_the_order_of_rows_and_columns_makes_no_difference(recipes, tmp_path):
    compare(*recipes, tmp_path / "out", resamples=20)
    rewrite(recipes[1][0], lambda frame: frame[::-1])
    compare(*recipes, tmp_path / "reversed", resamples=20)
    rewrite(recipes[0][0], lambda frame: frame[frame.columns[::-1]].sample(frac=1, random_state=0))
    compare(*recipes, tmp_path / "shuffled", resamples=20)
    assert contents(tmp_path / "out") == contents(tmp_path / "reversed") == contents(tmp_path / "shuffled")


@pytest.mark.parametrize(("side", "run"), [(0, 0), (0, 2), (1, 4)])
def test_missing_rows_are_named(recipes, tmp_path, side, run):
    rewrite(recipes[side][run], lambda frame: frame.drop(index=range(10, 15)))
    words = rf"{'ab'[side]}-{run} lacks 5 \(first: 010.png, 011.png, 012.png, 013.png, 014.png\)"
    with pytest.raises(ValueError, match=words):
        compare(*recipes, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_runs_without_predictions_are_refused(recipes, tmp_path):
    RunDir(recipes[1][2]).predictions("test").unlink()
    with pytest.raises(FileNotFoundError, match="b-2 has no predictions-test.csv. Run `evaluate` on the test split"):
        compare(*recipes, tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="a-0 has no predictions-validation.csv"):
        compare(*recipes, tmp_path / "out", "validation")
    with pytest.raises(ValueError, match="`split` must be one of train, validation, test. Received: split=val."):
        compare(*recipes, tmp_path / "out", "val")


def test_results_are_replaced_only_with_overwrite(recipes, tmp_path):
    compare(*recipes, tmp_path / "out", resamples=20)
    before = contents(tmp_path / "out")
    with pytest.raises(
        FileExistsError, match="out already contains a comparison. Choose another `out`, or use `overwrite`"
    ):
        compare(*recipes[::-1], tmp_path / "out", resamples=20)
    assert contents(tmp_path / "out") == before
    compare(*recipes[::-1], tmp_path / "out", resamples=20, overwrite=True)
    assert contents(tmp_path / "out") != before


def test_caveats_are_noted_and_logged(tmp_path, caplog):
    caplog.set_level("INFO", "mamsf_keras")
    a, b = write_recipe(tmp_path, "a", seeds=3), write_recipe(tmp_path, "b", seeds=5)
    RunDir(a[0]).environment.write_text('{"data": {"images": 1}}')
    for path in a[1:]:
        RunDir(path).environment.write_text('{"data": {"images": 1}}')
    notes = compare(a, b, tmp_path / "out", resamples=20)["notes"]
    for words in (
        "without test metrics, whose data and model are not checked: 8",
        "Not enough seeds: recipe A has 3, recipe B has 5, and a test needs 5 per recipe.",
        "The two recipes have the same settings.",
        "The two recipes were trained on different data.",
        "no means are reported for these groups",
    ):
        assert [words in note for note in notes].count(True) == 1
    assert [record.message for record in caplog.records] == notes
    page = (tmp_path / "out" / "comparison.md").read_text()
    assert all(note in page for note in notes) and "not enough seeds" in page


def test_neither_keras_nor_a_backend_is_imported():
    code = (
        "import sys, mamsf_keras.evaluation.compare; print({'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"

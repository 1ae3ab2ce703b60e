import dataclasses
import hashlib
import shutil

import numpy as np
import pandas as pd
import pytest

from mamsf_keras.data.cache.layout import read_plan
from mamsf_keras.data.cache.plan import check_plan, has_plan, make_plan, table_changes, write_plan
from mamsf_keras.data.cache.prepare import prepare
from mamsf_keras.data.open import open_dataset
from tests.toys import contents, image_dataset

pytestmark = pytest.mark.no_keras


def planned(dataset, image_size=12, shard_images=4):
    return make_plan(dataset.resolved, image_size, shard_images)


def test_plan_identifies_the_table_without_paths_and_splits(tmp_path):
    dataset = image_dataset(tmp_path, images=2, A=[1, 0])
    plan = planned(dataset)
    assert (plan["image_size"], plan["shard_images"], plan["files"], plan["findings"]) == (12, 4, 2, ["A"])
    text = "image,patient,A\n0.png,0.png,1\n1.png,1.png,0\n"
    assert plan["table_sha256"] == hashlib.sha256(text.encode()).hexdigest()
    moved = dataset.table.assign(path=["x", "y"], split=["train", "test"])
    assert planned(dataclasses.replace(dataset, table=moved)) == plan
    relabeled = dataset.table.assign(A=[1, 1])
    assert planned(dataclasses.replace(dataset, table=relabeled))["table_sha256"] != plan["table_sha256"]


def test_a_new_or_empty_folder_and_a_cache_of_the_same_plan_are_accepted(tmp_path):
    dataset = image_dataset(tmp_path, images=2, A=[1, 0])
    plan, cache_dir = planned(dataset), tmp_path / "cache"
    check_plan(cache_dir, plan, dataset.table)
    assert not cache_dir.exists()
    cache_dir.mkdir()
    (cache_dir / ".part-x").touch()  # of a killed process
    check_plan(cache_dir, plan, dataset.table)
    assert not has_plan(cache_dir)
    write_plan(cache_dir, plan)
    assert has_plan(cache_dir) and read_plan(cache_dir) == plan
    check_plan(cache_dir, plan, dataset.table)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image_size": 16}, r"image_size \(existing: 12, requested: 16\)\. Remove it, or choose a new folder"),
        (
            {"shard_images": 8, "files": 3},
            r"shard_images \(existing: 4, requested: 8\); files \(existing: 2, requested: 3\)",
        ),
        ({"findings": ["B"]}, r"findings \(existing: \['A'\], requested: \['B'\]\)"),
        ({"table_sha256": "x"}, r"table_sha256 \(existing: \w{64}, requested: x\)\."),
        ({"table_sha256": "x", "image_size": 16}, r"other settings: image_size \(existing: 12, requested: 16\)\."),
    ],
)
def test_cache_of_another_plan_is_refused_with_the_differences(tmp_path, change, words):
    dataset, cache_dir = image_dataset(tmp_path, images=2, A=[1, 0]), tmp_path / "cache"
    cache_dir.mkdir()
    write_plan(cache_dir, planned(dataset))
    before = contents(cache_dir)
    with pytest.raises(ValueError, match=words):
        check_plan(cache_dir, {**planned(dataset), **change}, dataset.table)
    assert contents(cache_dir) == before


def test_finished_cache_of_another_table_names_the_images(tmp_path, small_nih):
    dataset = open_dataset(small_nih)
    prepare(dataset, tmp_path / "cache", 12, workers=1)
    table = dataset.table.assign(Hernia=1)
    plan = {**read_plan(tmp_path / "cache"), "table_sha256": "x"}
    with pytest.raises(ValueError, match=r"images whose labels changed: 80 \(first: 00000001_000.png, 00000001_001"):
        check_plan(tmp_path / "cache", plan, table)


def test_other_folders_and_files_are_refused(tmp_path):
    dataset = image_dataset(tmp_path, images=1, A=[1])
    with pytest.raises(ValueError, match="contains files that are not part of a cache, so it was not changed"):
        check_plan(tmp_path, planned(dataset), dataset.table)
    with pytest.raises(NotADirectoryError, match="0.png is a file. Choose a new folder"):
        check_plan(tmp_path / "0.png", planned(dataset), dataset.table)


def test_plan_is_written_only_if_its_images_fit_on_the_disk(tmp_path):
    plan = planned(image_dataset(tmp_path, images=1, A=[1]))
    for size, fits in ((0.5, True), (2, False)):  # of the free space
        plan["files"] = int(size * shutil.disk_usage(tmp_path).free / (12**2 + 1000))
        if fits:
            write_plan(tmp_path, plan)
            (tmp_path / "plan.json").unlink()
        else:
            with pytest.raises(OSError, match=r"needs [\d.]+ \w+, but only [\d.]+ \w+ are available"):
                write_plan(tmp_path, plan)
            assert not has_plan(tmp_path)


def test_changes_between_two_tables_by_hand():
    old = pd.DataFrame({"image": list("abcd"), "patient": list("1234"), "A": [1, 0, np.nan, 0], "age": [1, 2, 3, 4]})
    new = pd.DataFrame({"image": list("bcde"), "patient": list("2345"), "A": [1, np.nan, np.nan, 0], "age": 9})
    new["patient"] = ["2", "9", "4", "5"]
    assert table_changes(old, new, ["A"]) == [
        "new images: 1 (first: e)",
        "removed images: 1 (first: a)",
        "images whose labels changed: 2 (first: b, d)",
        "images whose patient changed: 1 (first: c)",
    ]
    assert table_changes(old, old.assign(age=0), ["A"]) == []

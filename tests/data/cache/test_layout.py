import json

import numpy as np
import pytest

from mamsf_keras.config import DataConfig, LabelsCsv
from mamsf_keras.data.cache.layout import (
    FILES,
    FORMAT,
    default_cache_dir,
    is_finished,
    read_index,
    read_meta,
    read_plan,
    tables_are_intact,
)
from mamsf_keras.data.cache.prepare import prepare
from mamsf_keras.data.open import open_dataset

pytestmark = pytest.mark.no_keras


@pytest.fixture
def cache_dir(small_nih, tmp_path):
    """A cache of `small_nih` with one image that could not be read."""
    next(small_nih.rglob("00000003_001.png")).write_bytes(b"no image")
    prepare(open_dataset(small_nih), tmp_path / "cache", 12, workers=1, allow_rejected=1)
    return tmp_path / "cache"


def test_a_cache_holds_the_documented_files(cache_dir):
    assert {path.name for path in cache_dir.iterdir()} | {".lock"} == FILES  # filelock may remove its file
    assert sorted(path.name for path in (cache_dir / "shards").iterdir()) == ["00000.csv", "00000.npy"]
    meta, plan = read_meta(cache_dir), read_plan(cache_dir)
    assert meta["images"] == 79 and meta["rejected"] == 1 and meta["format"] == plan["format"] == FORMAT
    assert meta.items() >= plan.items() and meta["kind"] == "nih"
    assert sorted(meta["sources"]) == ["Data_Entry_2017.csv", "test_list.txt", "train_val_list.txt"]
    assert (cache_dir / "rejected.csv").read_text().startswith("image,error\n00000003_001.png,")


def test_cache_is_finished_when_meta_is_written(cache_dir):
    assert is_finished(cache_dir)
    (cache_dir / "meta.json").unlink()
    assert not is_finished(cache_dir) and not is_finished(cache_dir / "none")
    with pytest.raises(ValueError, match="cache .* is not finished. Run the same `mamsf-keras prepare` command again"):
        read_meta(cache_dir)


def test_other_formats_are_refused(cache_dir):
    meta = json.loads((cache_dir / "meta.json").read_text())
    (cache_dir / "meta.json").write_text(json.dumps({**meta, "format": FORMAT - 1}))
    with pytest.raises(ValueError, match=f"has format {FORMAT - 1}, but this version reads format {FORMAT}. Remove it"):
        read_meta(cache_dir)


@pytest.mark.parametrize("text", ["{", "[]", "5", '{"image_size": 3}', "\xff"])
def test_damaged_json_is_named_with_what_to_remove(cache_dir, text):
    for name, read, removed in (("meta.json", read_meta, cache_dir / "meta.json"), ("plan.json", read_plan, cache_dir)):
        (cache_dir / name).write_text(text, encoding="latin1")
        with pytest.raises(ValueError, match=f"{name} is damaged. Remove {removed} and run `mamsf-keras prepare`"):
            read(cache_dir)


@pytest.mark.parametrize("name", ["index.csv", "rejected.csv"])
def test_changed_tables_are_found(cache_dir, name):
    assert tables_are_intact(cache_dir)
    (cache_dir / name).write_text((cache_dir / name).read_text().replace("0", "1", 1))
    assert not tables_are_intact(cache_dir)
    others = {"index.csv", "rejected.csv"} - {name}
    assert tables_are_intact(cache_dir, others) and not tables_are_intact(cache_dir, [name])
    (cache_dir / name).unlink()
    assert not tables_are_intact(cache_dir)


def test_index_is_read_as_it_was_written(cache_dir, small_nih):
    written, table = open_dataset(small_nih).table, read_index(cache_dir, ["Effusion", "Mass"])
    for column in ("image", "patient", "follow_up", "age", "sex", "view", "official_list", "Effusion", "Mass"):
        assert table[column].tolist() == written[column].tolist(), column
    assert table["Mass"].dtype == np.int8
    absent = table["image"] == "00000003_001.png"
    for column in ("row", "shard", "sha256", "height", "width"):
        assert (table[column].isna() == absent).all(), column


def test_index_keeps_missing_labels_and_texts_that_look_like_missing_values(tmp_path):
    rows = ["NA,None,,,null,,,1,shard,0,x,5,6", "b,2,3,40,M,PA,test,,,,,,"]
    header = "image,patient,follow_up,age,sex,view,official_list,A,shard,row,sha256,height,width"
    (tmp_path / "index.csv").write_text("\n".join([header, *rows]) + "\n")
    table = read_index(tmp_path, ["A"])
    assert table[["image", "patient", "sex", "view"]].to_numpy().tolist() == [
        ["NA", "None", "null", ""],
        ["b", "2", "M", "PA"],
    ]
    assert table["A"].dtype == np.float32 and table["A"].tolist()[0] == 1 and np.isnan(table["A"][1])
    assert np.isnan(table["age"][0]) and table["shard"].isna().tolist() == [False, True]


def test_default_cache_dir_depends_on_data_labels_and_size(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    data = DataConfig(tmp_path / "nih")
    table = tmp_path / "t.csv"
    others = [
        DataConfig(tmp_path / "other" / "nih"),
        DataConfig(tmp_path / "nih", labels_csv=table),
        DataConfig(tmp_path / "nih", labels_csv=LabelsCsv(table, blank="negative")),
        DataConfig(tmp_path / "nih", labels_csv=LabelsCsv(table, ("A",))),
    ]
    folders = [default_cache_dir(data, 224), default_cache_dir(data, 256)]
    folders += [default_cache_dir(other, 224) for other in others]
    assert len(set(folders)) == len(folders)
    for folder in folders:
        assert folder.parent == tmp_path / "caches" / "mamsf-keras" and folder.name.startswith("nih-")
    assert folders[0].name.endswith("-224px") and folders[1].name.endswith("-256px")
    assert default_cache_dir(DataConfig(tmp_path / "nih", protocol=None, allow_missing=True), 224) == folders[0]
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_cache_dir(data, 224).parent == tmp_path / ".cache" / "mamsf-keras"

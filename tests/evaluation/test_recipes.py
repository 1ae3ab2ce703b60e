import json

import pytest

from mamsf_keras import RunDir
from mamsf_keras.evaluation.recipes import differing_fields, evaluation_records, read_recipes
from mamsf_keras.storage import checksum
from tests.recipes import simulated_predictions, write_metrics, write_recipe, write_run

pytestmark = pytest.mark.no_keras


def write(folder, name, **options):
    return write_run(folder / name, simulated_predictions(0, 0), **options).path


def test_runs_of_a_recipe_may_differ_in_seed_and_paths(tmp_path):
    (tmp_path / "labels.csv").write_text("")
    one = write(tmp_path, "one", seed=3, labels_csv={"path": str(tmp_path / "labels.csv")})
    two = write(tmp_path, "two", seed=4, data_dir="/other", cache="none", labels_csv={"path": "/x.csv"}, mlflow="x")
    other = write(tmp_path, "other", loss="asl", seed=3, labels_csv={"path": "/x.csv", "blank": "negative"})
    first, second = read_recipes([one, two], [other])
    assert (first.seeds, second.seeds) == ((3, 4), (3,))
    assert [run.path for run in first.runs] == [one, two]
    assert differing_fields(first, second) == {"loss": ["bce", "asl"], "blank": ["mask", "negative"]}


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"loss": "asl"}, r"`loss` \(bce, asl\)"),
        ({"epochs": 3, "batch_size": 8}, r"`batch_size` \(32, 8\), .*`epochs` \(10, 3\)|`epochs` .*`batch_size`"),
        ({"protocol": "random-patient"}, "`protocol`"),
        ({"weights": "none"}, r"`weights` \(imagenet, none\)"),
        ({"labels_csv": {"path": "x.csv"}}, "`blank`"),
    ],
)
def test_other_settings_are_refused_by_name(tmp_path, options, field):
    runs = [write(tmp_path, "one", seed=0), write(tmp_path, "two", seed=1, **options)]
    other = write(tmp_path, "other", seed=0)
    with pytest.raises(ValueError, match=f"may differ in seed and paths only. .*one and .*two differ in .*{field}"):
        read_recipes(runs, [other])
    with pytest.raises(ValueError, match=field):
        read_recipes([other], runs)


def test_files_that_are_settings_stand_for_their_content(tmp_path):
    for name, content in (("a", "image,split\n"), ("b", "image,split\n"), ("c", "image,split\nx,test\n")):
        (tmp_path / f"{name}.csv").write_text(content)
    runs = [
        write(
            tmp_path, f"run-{name}", seed=seed, protocol=f"file:{tmp_path / name}.csv", weights=tmp_path / f"{name}.csv"
        )
        for seed, name in enumerate("abc")
    ]
    read_recipes(runs[:2], runs[2:])
    with pytest.raises(ValueError, match="`protocol` .*`weights`"):
        read_recipes([runs[0], runs[2]], [runs[1]])


def test_backend_and_training_data_are_part_of_a_recipe(tmp_path):
    runs = write_recipe(tmp_path, "a", seeds=3)
    for path, backend, images in zip(runs, ("jax", "jax", "torch"), (5, 6, 5), strict=True):
        RunDir(path).environment.write_text(json.dumps({"backend": backend, "data": {"images": images}}))
    with pytest.raises(ValueError, match=r"`backend` \(jax, torch\)"):
        read_recipes([runs[0], runs[2]], [runs[1]])
    with pytest.raises(ValueError, match="must be trained on the same data. .*a-0 and .*a-1 were not"):
        read_recipes(runs[:2], runs[2:])


def test_duplicate_runs_and_seeds_are_refused(tmp_path):
    a, b = write_recipe(tmp_path, "a", seeds=2), write_recipe(tmp_path, "b", seeds=2)
    with pytest.raises(ValueError, match="a-0 is named in both recipes"):
        read_recipes(a, [*b, tmp_path / "b-0" / ".." / "a-0"])
    with pytest.raises(ValueError, match="b-1 is named twice in one recipe"):
        read_recipes(a, [*b, b[1]])
    again = write(tmp_path, "again", seed=1)
    with pytest.raises(ValueError, match=r"b-1 and .*again have the same `seed` \(1\)"):
        read_recipes(a, [*b, again])


def test_both_recipes_need_existing_runs(tmp_path):
    runs = write_recipe(tmp_path, "a", seeds=1)
    with pytest.raises(ValueError, match="`runs` must name at least one run"):
        read_recipes([], runs)
    with pytest.raises(ValueError, match="`against` must name at least one run"):
        read_recipes(runs, [])
    with pytest.raises(FileNotFoundError, match="none does not exist"):
        read_recipes(runs, [tmp_path / "none"])


def test_records_equal_those_of_the_metrics_and_missing_ones_are_noted(tmp_path):
    runs = [RunDir(path) for path in write_recipe(tmp_path, "a", seeds=2)]
    common, notes = evaluation_records(runs, "test")
    assert common == {"protocol": None, "fingerprint": None, "groups": None}
    assert len(notes) == 1 and "2 (first:" in notes[0]
    write_metrics(runs[1].path)
    common, notes = evaluation_records(runs, "test")
    assert common["protocol"] == "official" and common["fingerprint"]["images"] == 180
    assert common["groups"] == {"Mass": "medium", "Effusion": "head", "Hernia": "tail"}
    assert "1 (first:" in notes[0] and "a-0" in notes[0]
    write_metrics(runs[0].path)
    assert evaluation_records(runs, "test")[1] == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"protocol": "random-patient"}, "have the protocol official and random-patient"),
        (
            {"fingerprint": {"images": 9, "sha256": "b" * 64}},
            r"fingerprint \(180 images, sha256 aaaaaaaaaaaa\) and \(9 ",
        ),
    ],
)
def test_evaluations_on_other_data_are_refused(tmp_path, changes, words):
    runs = [RunDir(path) for path in write_recipe(tmp_path, "a", seeds=2)]
    write_metrics(runs[0].path)
    write_metrics(runs[1].path, **changes)
    with pytest.raises(ValueError, match=f"a-0 and .*a-1 were evaluated on different data.*{words}"):
        evaluation_records(runs, "test")


def test_predictions_of_an_earlier_model_are_refused(tmp_path):
    runs = [RunDir(path) for path in write_recipe(tmp_path, "a", seeds=1)]
    runs[0].model("best").write_text("weights")
    write_metrics(runs[0].path, model_sha256=checksum(runs[0].model("best")))
    evaluation_records(runs, "test")
    runs[0].model("best").write_text("better weights")
    with pytest.raises(ValueError, match="test predictions of .*a-0 do not belong to its current best.keras"):
        evaluation_records(runs, "test")


def test_damaged_metrics_are_named(tmp_path):
    runs = [RunDir(path) for path in write_recipe(tmp_path, "a", seeds=1)]
    for text in ("{", "[]"):
        runs[0].metrics("test").write_text(text)
        with pytest.raises(ValueError, match="metrics-test.json is damaged"):
            evaluation_records(runs, "test")

import json
import re
import shlex

import pytest

from mamsf_keras import open_dataset, prepare
from mamsf_keras.data.batches.stream import Stream
from tests.cli.checks import check_fails
from tests.runs import TOY, StopAfter, invoke, succeeded
from tests.toys import rewrite_table


def arguments(data, folder, *more):
    return ["train", "--data-dir", data, "--run-dir", folder / "run", *TOY, *more]


@pytest.mark.no_keras
@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--decay", "1.5", ["--decay must be in [0, 1]", "1.5"]),
        ("--decay", "fast", ["fast"]),
        ("--batch-size", "0", ["x>=1"]),
        ("--image-size", "-3", ["x>=32"]),
        ("--epochs", "0", ["x>=1"]),
        ("--backbone", "resnet50", ["efficientnetv2-b0", "efficientnetv2-s"]),
        ("--augment", "wild", ["none", "light", "strong"]),
        ("--learning-rate", "0", ["x>0"]),
        ("--learning-rate", "nan", ["--learning-rate must be finite"]),
        ("--backend", "theano", ["tensorflow", "jax", "torch"]),
        ("--preset", "none", ["demo", "paper", "server"]),
        ("--loss", "hinge", ["bce", "focal", "ldam"]),
        ("--precision", "float8", ["mixed_float16"]),
        ("--accumulate", "0", ["x>=1"]),
        ("--warmup", "1", ["0<=x<1"]),
    ],
)
def test_bad_option_values_exit_2(tmp_path, option, value, words):
    check_fails(tmp_path, ["train", "--data-dir", tmp_path, option, value], 2, *words)


@pytest.mark.tensorflow
def test_missing_folders_and_files(small_nih, tmp_path):
    check_fails(tmp_path, arguments(tmp_path / "none", tmp_path), 1, "none does not exist")
    check_fails(tmp_path, arguments(tmp_path, tmp_path), 1, "has no table Data_Entry_2017.csv")
    check_fails(tmp_path, ["train", "--run-dir", tmp_path / "none", "--resume"], 1, "does not exist", "--run-dir")
    check_fails(tmp_path, ["train", "--config", tmp_path / "none.json"], 1, "none.json does not exist", "config.json")
    check_fails(tmp_path, ["train", "--resume"], 2, "--resume needs --run-dir")


@pytest.mark.tensorflow
def test_errors_fail_fast(small_nih, tmp_path):
    """A missing weights file and a cache of another size: nothing is printed or prepared before."""
    backbone = ["--backbone", "efficientnetv2-b0", "--weights", tmp_path / "none.h5"]
    prepare(open_dataset(small_nih), tmp_path / "cache", image_size=32, workers=1)
    for words, expected in (
        (arguments(small_nih, tmp_path, *backbone), ["none.h5 does not exist"]),
        (arguments(tmp_path / "cache", tmp_path, "--image-size", "64"), ["has images of 32 pixels", "--image-size 32"]),
    ):
        assert not check_fails(tmp_path, words, 1, *expected).stdout


@pytest.mark.tensorflow
def test_weights_that_do_not_match(small_nih, tmp_path):
    (tmp_path / "x.weights.h5").write_text("no weights")
    backbone = ["--backbone", "efficientnetv2-b0", "--weights", tmp_path / "x.weights.h5"]
    words = arguments(small_nih, tmp_path, *backbone)
    check_fails(tmp_path, words, 1, "x.weights.h5 does not fit efficientnetv2-b0")


@pytest.mark.tensorflow
def test_missing_image_unknown_finding_and_path_outside_the_folder(small_nih, tmp_path):
    train = arguments(small_nih, tmp_path)
    next(small_nih.rglob("00000005_000.png")).unlink()
    check_fails(tmp_path, train, 1, "1 of 80 images", "00000005_000.png", "--allow-missing")
    rewrite_table(small_nih, lambda rows: [*rows[:2], [rows[2][0], "Scurvy", *rows[2][2:]], *rows[3:]])
    check_fails(tmp_path, train, 1, "unknown findings in 1 rows", "Scurvy")
    rewrite_table(small_nih, lambda rows: [*rows[:2], ["../../x", *rows[2][1:]], *rows[3:]])
    check_fails(tmp_path, train, 1, "outside the data folder", "../../x")


@pytest.mark.tensorflow
def test_existing_run_folder_is_not_changed(small_nih, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("mine")
    check_fails(tmp_path, arguments(small_nih, tmp_path), 1, "exists", "--run-dir")
    assert (tmp_path / "run" / "mine.txt").read_text() == "mine"


@pytest.mark.tensorflow
def test_truncated_image_is_named_and_no_run_is_left(small_nih, tmp_path):
    path = next(small_nih.rglob("00000009_001.png"))
    path.write_bytes(path.read_bytes()[:50])
    check_fails(tmp_path, arguments(small_nih, tmp_path), 1, path, "cannot be read as an image", "--allow-rejected 1")
    words = arguments(small_nih, tmp_path, "--cache", "none", "--epochs", 1)
    check_fails(tmp_path, words, 1, path, "cannot be read as an image")


@pytest.mark.tensorflow
def test_data_without_a_finding_to_learn_or_score_are_refused_before_the_cache_is_made(small_nih, tmp_path):
    def without(images):
        rewrite_table(small_nih, lambda rows: [[r[0], "No Finding", *r[2:]] if r[0] in images else r for r in rows])

    table = open_dataset(small_nih).table
    table[["image", "split"]].to_csv(tmp_path / "split.csv", index=False)  # the official one depends on the labels
    words = arguments(small_nih, tmp_path, "--protocol", f"file:{tmp_path / 'split.csv'}")
    for split, text in (("validation", "no AUROC to choose the best model by"), ("train", "nothing to learn")):
        without(set(table["image"][table["split"] == split]))
        result = check_fails(tmp_path, words, 1, text, "0 positive", "another --protocol")
        assert not result.stdout


def test_non_finite_loss_names_its_images(small_nih, tmp_path):
    result = invoke(*arguments(small_nih, tmp_path, "--learning-rate", "1e30", "--epochs", 9))
    error = next(line for line in result.stderr.splitlines() if line.startswith("Error:"))
    assert result.exit_code == 1
    assert "learning rate" in error and "use a lower --learning-rate" in error
    assert str(tmp_path / "run" / "bad-batch.csv") in error
    epoch, step = (int(number) for number in re.search(r"epoch (\d+), step (\d+)", error).groups())
    stream = Stream(open_dataset(small_nih).split("train"), 32, 8)
    names = stream.images[stream.rows((epoch - 1) * stream.steps_per_pass + step - 1)].tolist()
    assert (tmp_path / "run" / "bad-batch.csv").read_text().split() == ["image", *names]


def test_outputs_that_become_infinite_in_the_last_step(small_nih, tmp_path):
    """The loss was computed before the outputs became infinite; the error is the same as for the loss."""
    words = arguments(small_nih, tmp_path, "--learning-rate", "1e30", "--epochs", 1, "--batch-size", 40)
    result = invoke(*words)
    assert result.exit_code == 1
    assert "outputs became infinite or NaN at epoch 1, step 1; the learning rate" in result.stderr
    assert len(set((tmp_path / "run" / "bad-batch.csv").read_text().split())) == 41


@pytest.mark.tensorflow
def test_config_file_presets_and_explicit_options(small_nih, tmp_path):
    succeeded(*arguments(small_nih, tmp_path, "--epochs", 1, "--seed", 3))
    config = tmp_path / "run" / "config.json"
    succeeded("train", "--config", config, "--run-dir", tmp_path / "two", "--seed", 1)
    old, new = (json.loads(path.read_text()) for path in (config, tmp_path / "two" / "config.json"))
    assert new == {**old, "seed": 1}


@pytest.mark.tensorflow
def test_interrupted_run_prints_the_command_that_resumes_it(small_nih, tmp_path):
    class Interrupt(StopAfter):
        def on_train_begin(self, logs=None):
            raise KeyboardInterrupt

    from mamsf_keras.cli.train import resume_command
    from mamsf_keras.training.train import train
    from tests.runs import toy_config

    run = tmp_path / "my run"
    with pytest.raises(KeyboardInterrupt):
        train(toy_config(small_nih, epochs=1), run, callbacks=[Interrupt(0)])
    program, *words = shlex.split(resume_command(run))
    succeeded(*words)
    assert program == "mamsf-keras" and (run / "best.keras").exists()

import shlex

import pytest

from mamsf_keras.cli.hints import prepare_command
from mamsf_keras.config import DataConfig, LabelsCsv
from mamsf_keras.data.cache.layout import read_meta
from tests.cli.checks import check_fails
from tests.runs import invoke

pytestmark = pytest.mark.no_keras


def test_files_that_an_option_names_must_exist(small_nih, tmp_path):
    describe = ["describe", "--data-dir", small_nih]
    check_fails(tmp_path, [*describe, "--protocol", "file:none.csv"], 1, "none.csv does not exist")
    check_fails(tmp_path, [*describe, "--labels-csv", "none.csv"], 1, "none.csv does not exist")


def test_empty_list_of_label_columns(tmp_path):
    describe = ["describe", "--data-dir", tmp_path, "--labels-csv", "t.csv", "--label-columns"]
    check_fails(tmp_path, [*describe, ","], 2, "contains no name")
    check_fails(tmp_path, [*describe, "Edema,"], 1, "t.csv does not exist")  # a trailing comma is accepted


def test_data_folder_must_be_given_and_exist(tmp_path):
    check_fails(tmp_path, ["describe"], 2, "Missing option '--data-dir'")
    check_fails(tmp_path, ["describe", "--data-dir", tmp_path / "none"], 1, "none does not exist. Set --data-dir")
    check_fails(tmp_path, ["describe", "--data-dir", tmp_path], 1, "has no table Data_Entry_2017.csv", "--labels-csv")


def test_label_options_need_a_table(tmp_path):
    check_fails(
        tmp_path,
        ["describe", "--data-dir", tmp_path, "--blank", "negative"],
        2,
        "--blank must be used together with --labels-csv",
    )


def test_unreadable_images_come_with_a_command_that_leaves_them_out(small_nih, tmp_path):
    next(small_nih.rglob("00000003_001.png")).write_bytes(b"no image")
    arguments = ("--data-dir", small_nih, "--cache-dir", tmp_path / "my cache", "--image-size", 32)
    result = invoke("prepare", *arguments)
    assert result.exit_code == 1 and "1 of 80 images cannot be read" in result.stderr
    command = shlex.split(result.stderr.partition("The command is: mamsf-keras ")[2])
    assert invoke(*command).exit_code == 0
    assert read_meta(tmp_path / "my cache")["rejected"] == 1


def test_prepare_command_has_every_option_that_differs_from_its_default(tmp_path):
    data = DataConfig(tmp_path, LabelsCsv(tmp_path / "t.csv", ("A B", "C")), allow_missing="10%")
    assert shlex.split(prepare_command(data, tmp_path / "cache", 64)) == [
        *("mamsf-keras", "prepare", "--data-dir", str(tmp_path), "--allow-missing", "10%"),
        *("--labels-csv", str(tmp_path / "t.csv"), "--label-columns", "A B,C"),
        *("--cache-dir", str(tmp_path / "cache"), "--image-size", "64"),
    ]

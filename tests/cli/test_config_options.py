"""Precedence and generation of options: a default < --config < --preset < an explicit option."""

import dataclasses
import itertools
import json

import click
import pytest
from click.testing import CliRunner

from mamsf_keras.cli.config_options import ConfiguredCommand, build_config, config_options
from mamsf_keras.cli.train import command as train_command
from mamsf_keras.config import DataConfig, LabelsCsv, PhaseConfig, TrainConfig
from mamsf_keras.presets import PRESETS
from mamsf_keras.run_dir import RunDir

pytestmark = pytest.mark.no_keras


@click.command(cls=ConfiguredCommand)
@config_options(TrainConfig)
@click.option("--run-dir")
@click.option("--resume", is_flag=True)
@click.option("--config")
@click.option("--preset", type=click.Choice(list(PRESETS)))
def command(run_dir, resume, config, preset, **options):
    """Prints the configuration that `train` would use."""
    click.echo(json.dumps(dataclasses.asdict(build_config(TrainConfig, options))))


def run(*words):
    return CliRunner().invoke(command, [str(word) for word in words])


def values(*words):
    result = run(*words)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def config_file(tmp_path):
    """Differs from the defaults and from the preset in the same fields."""
    path = tmp_path / "options.yaml"
    path.write_text("data_dir: here\nimage_size: 128\nbatch_size: 4\nseed: 7\nlearning_rate: 1e-2\n")
    return path


def test_defaults_equal_those_of_the_class():
    assert values("--data-dir", "x") == json.loads(json.dumps(dataclasses.asdict(TrainConfig("x"))))


def test_explicit_options_override_presets_which_override_config_files(config_file):
    words = (["--config", config_file], ["--preset", "demo"], ["--batch-size", 2])
    for order in itertools.permutations(words):
        found = values(*itertools.chain(*order))
        assert found["seed"] == 7  # the file alone
        assert (found["image_size"], found["learning_rate"]) == (64, 1.5e-3)  # the preset over the file
        assert found["batch_size"] == 2  # the command line over both
        assert found["weight_decay"] == 1e-4  # the default


def test_resume_starts_from_the_configuration_of_the_run(tmp_path):
    config = TrainConfig("data", labels_csv=LabelsCsv("t.csv", blank="negative"), seed=5, anchor=False, mlflow="x:y")
    with RunDir.create(tmp_path / "run", config):
        pass
    for words in itertools.permutations((["--resume"], ["--run-dir", tmp_path / "run"], ["--epochs", 12])):
        found = values(*itertools.chain(*words))
        assert found == {**json.loads(json.dumps(dataclasses.asdict(config))), "epochs": 12}
    assert values("--run-dir", tmp_path / "run", "--resume", "--anchor", "--seed", 0)["anchor"] is True


def test_config_of_a_run_can_be_reused(tmp_path):
    config = TrainConfig("data", phases=[PhaseConfig(2, frozen=True), PhaseConfig(3, loss="focal")], decay="2 epochs")
    config.save(tmp_path / "config.json")
    assert values("--config", tmp_path / "config.json") == json.loads((tmp_path / "config.json").read_text())
    assert TrainConfig.load(tmp_path / "config.json") == config


def test_yaml_and_json_are_equivalent(tmp_path):
    content = {"data_dir": "x", "phases": [{"epochs": 3, "learning_rate": 0.001}], "labels_csv": {"path": "t.csv"}}
    (tmp_path / "a.json").write_text(json.dumps(content))
    (tmp_path / "a.yaml").write_text(
        "data_dir: x\nphases:\n  - epochs: 3\n    learning_rate: 0.001\nlabels_csv:\n  path: t.csv\n"
    )
    assert values("--config", tmp_path / "a.json") == values("--config", tmp_path / "a.yaml")


def test_epochs_exclude_the_phases_of_a_preset_or_file(tmp_path):
    result = run("--data-dir", "x", "--preset", "paper", "--epochs", 5)
    assert result.exit_code == 2 and "`epochs` cannot be used together with the `phases`" in result.stderr
    found = values("--data-dir", "x", "--preset", "paper")
    assert found["epochs"] == 33 and [phase["epochs"] for phase in found["phases"]] == [3, 20, 10]
    (tmp_path / "phases.yaml").write_text("phases: [{epochs: 2}]\n")
    found = values("--data-dir", "x", "--config", tmp_path / "phases.yaml", "--preset", "demo", "--epochs", 6)
    assert found["phases"] is None and found["epochs"] == 6  # the preset plans the epochs in the other way


def test_label_options_become_a_table(tmp_path):
    found = values(
        "--data-dir", "x", "--labels-csv", tmp_path / "t.csv", "--label-columns", "A, B,", "--blank", "negative"
    )
    assert found["labels_csv"] == {
        "path": str(tmp_path / "t.csv"),
        "label_columns": ["A", "B"],
        "image_column": None,
        "patient_column": None,
        "blank": "negative",
        "uncertain": "mask",
    }
    result = run("--data-dir", "x", "--blank", "negative")
    assert result.exit_code == 2 and "`blank` must be used together with `labels_csv`" in result.stderr


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is not the configuration of a run"),
        ("colour: 1", "Unknown fields: colour"),
        ("- 1", "is not the configuration of a run"),
        ("image_size: 3", "3 is not in the range x>=32"),
        ("decay: fast", "`decay` must be in [0, 1]"),
        ("phases: [{epochs: 0}]", "`epochs` must be a whole number of at least 1"),
    ],
)
def test_bad_files_are_usage_errors(tmp_path, content, words):
    (tmp_path / "c.yaml").write_text(content)
    result = run("--data-dir", "x", "--config", tmp_path / "c.yaml")
    assert result.exit_code == 2 and words in result.stderr, result.output


def test_every_field_has_one_option_with_its_help():
    names = {parameter.name for parameter in train_command.params}
    fields = {field.name for field in dataclasses.fields(TrainConfig)} - {"phases"}
    assert fields <= names and {field.name for field in dataclasses.fields(LabelsCsv)} - {"path"} <= names
    flags = [flag for parameter in train_command.params for flag in parameter.opts]
    assert len(flags) == len(set(flags)) and all(parameter.help for parameter in train_command.params)


def test_help_has_the_groups_in_order():
    text = CliRunner().invoke(train_command, ["--help"]).output
    groups = ["Data:", "Model:", "Momentum anchor:", "Optimization:", "Hardware:", "Run:"]
    assert [line for line in text.splitlines() if line in groups] == groups


def test_commands_without_training_take_the_options_of_the_data():
    @click.command()
    @config_options(DataConfig, leave_out=["protocol"])
    def other(**options):
        click.echo(build_config(DataConfig, options).data_dir)

    assert CliRunner().invoke(other, ["--data-dir", "/x"]).output == "/x\n"
    result = CliRunner().invoke(other, ["--protocol", "official"])
    assert result.exit_code == 2 and "No such option" in result.stderr


def test_preset_keeps_the_fields_of_a_file_that_it_does_not_set(tmp_path):
    (tmp_path / "c.yaml").write_text("freeze_epochs: 2\nphases: null\n")
    found = values("--data-dir", "x", "--config", tmp_path / "c.yaml", "--preset", "demo")
    assert (found["freeze_epochs"], found["epochs"]) == (2, 4)


def test_resumed_run_has_its_decay_as_a_number(tmp_path):
    with RunDir.create(tmp_path / "run", TrainConfig("data", decay=0.999)) as run:
        pass
    assert values("--run-dir", run.path, "--resume")["decay"] == 0.999


def test_help_does_not_need_a_run():
    assert CliRunner().invoke(train_command, ["--run-dir", "nowhere", "--resume", "--help"]).exit_code == 0


def test_misspelled_column_option_in_a_file_is_named(tmp_path):
    (tmp_path / "c.yaml").write_text("labels_csv: {path: t.csv, label_column: [A]}\n")
    result = run("--data-dir", "x", "--config", tmp_path / "c.yaml")
    assert result.exit_code == 2 and "Unknown fields: label_column" in result.stderr


@pytest.mark.parametrize(
    ("words", "value"),
    [
        ([], 0),
        (["--allow-missing"], "5%"),
        (["--allow-missing", "--seed", 1], "5%"),
        (["--allow-missing", 59], 59),
        (["--allow-missing", "10%"], "10%"),
    ],
)
def test_missing_images_are_allowed_as_a_number_or_a_percentage(words, value):
    assert values("--data-dir", "x", *words)["allow_missing"] == value
    assert "`allow_missing` must be" in run("--data-dir", "x", "--allow-missing", "all").output


def test_missing_images_of_a_configuration_file_are_allowed(tmp_path):
    for number, (text, value) in enumerate((("true", "5%"), ("false", 0), ("12", 12), ("2.5%", "2.5%"))):
        path = tmp_path / f"{number}.yaml"
        path.write_text(f"data_dir: here\nallow_missing: {text}\n")
        assert values("--config", path)["allow_missing"] == value
        assert values("--config", path, "--allow-missing", 0)["allow_missing"] == 0

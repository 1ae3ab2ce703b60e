import logging
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from mamsf_keras.cli import COMMANDS, ErrorGroup, fields_to_flags
from tests.cli.checks import check_fails
from tests.runs import TOY, invoke

HELP = "import sys; from mamsf_keras.cli import main; main(['--help'], standalone_mode=False)"
LOADED = "; print(sorted({'keras', 'tensorflow', 'pandas', 'numpy'} & set(sys.modules)))"


@pytest.mark.no_keras
def test_help_imports_neither_keras_nor_numpy():
    result = subprocess.run([sys.executable, "-c", HELP + LOADED], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1] == "[]"


@pytest.mark.no_keras
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example_and_can_be_quiet(name):
    result = invoke(name, "--help")
    assert result.exit_code == 0 and f"mamsf-keras {name} " in result.output and "Example" in result.output
    assert "--quiet" in result.output


@pytest.mark.no_keras
def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, mamsf_keras; print(mamsf_keras.__version__, 'keras' in sys.modules, 'numpy' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split()[1:] == ["False", "False"]


def test_public_names_resolve():
    import mamsf_keras

    for name in mamsf_keras.__all__:
        assert callable(getattr(mamsf_keras, name)) or name == "FINDINGS"
        assert name in dir(mamsf_keras)
        assert getattr(mamsf_keras, name) is getattr(mamsf_keras, name)  # a submodule of that name would take over
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = mamsf_keras.nothing


@pytest.mark.no_keras
def test_a_message_is_printed_once_even_if_the_root_logger_has_a_handler(caplog):
    caplog.set_level("INFO")
    assert invoke("phantom", "--out", "/nowhere/at/all", "--images", "1").exit_code
    logging.getLogger("mamsf_keras.export").info("written")
    assert not caplog.records


@pytest.mark.no_keras
def test_misspelled_command(tmp_path):
    check_fails(tmp_path, ["trian"], 2, "trian", "train")


@pytest.mark.no_keras
def test_fields_become_the_flags_of_the_command_that_has_them():
    options = [click.Option(["--batch-size"]), click.Option(["--format", "formats"])]
    command = click.Command("export", params=options)
    text = "`batch_size` must be 1, `formats` a list, and `keras` and `run again` stay."
    assert (
        fields_to_flags(text, command) == "--batch-size must be 1, --format a list, and `keras` and `run again` stay."
    )
    assert fields_to_flags(text, None) == text


@pytest.mark.no_keras
def test_unexpected_error_names_its_class_and_hints_at_the_traceback():
    @click.group(cls=ErrorGroup)
    @click.option("--traceback", is_flag=True)
    def group(traceback):
        pass

    @group.command()
    def fail():
        raise MemoryError("no 40 GiB\nleft")

    result = CliRunner().invoke(group, ["fail"])
    assert result.exit_code == 1
    assert result.stderr == "Error: MemoryError: no 40 GiB left (`mamsf-keras --traceback ...` shows the traceback)\n"
    assert isinstance(CliRunner().invoke(group, ["--traceback", "fail"]).exception, MemoryError)


@pytest.mark.tensorflow
def test_notes_of_the_library_are_printed(small_nih, tmp_path):
    result = invoke("train", "--data-dir", small_nih, "--run-dir", tmp_path / "run", *TOY, "--epochs", 1)
    assert result.exit_code == 0, result.output
    assert "patient overlap: train/validation 0" in result.stdout and "anchor: decay" in result.stdout

import pytest

from tests.cli.checks import check_fails
from tests.runs import invoke, succeeded

pytestmark = pytest.mark.no_keras


def test_writes_a_data_set_and_prints_the_next_command(tmp_path):
    out = tmp_path / "set"
    arguments = ("phantom", "--out", out, "--images", 30, "--size", 32, "--workers", 1)
    assert f"mamsf-keras train --data-dir {out} --preset demo" in succeeded(*arguments)
    check_fails(tmp_path, arguments, 1, "already contains phantoms")
    succeeded(*arguments, "--overwrite")


def test_help_says_that_it_is_not_medical_data():
    assert "NOT medical data" in invoke("phantom", "--help").output


@pytest.mark.parametrize(
    ("option", "value"), [("--images", "0"), ("--size", "x"), ("--seed", "-1"), ("--tail", "-1"), ("--workers", "0")]
)
def test_bad_option_values_exit_2(tmp_path, option, value):
    check_fails(tmp_path, ["phantom", "--out", tmp_path / "x", option, value], 2, option)

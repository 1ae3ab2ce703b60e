import dataclasses

import pytest

from mamsf_keras.config import OPERATING_POINTS
from mamsf_keras.settings import check_fields, kinds, read_values, require_choice, setting

pytestmark = pytest.mark.no_keras


@dataclasses.dataclass(frozen=True)
class Example:
    """One field of each kind."""

    name: str = setting("a", choices=("a", "b"))
    count: int | None = setting(None, least=2)
    share: float = setting(0.5, least=0, below=1)
    rate: float = setting(1.0, above=0, most=2)
    on: bool = setting(False)
    text: str = setting("x")

    def __post_init__(self):
        check_fields(self)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "c"}, "`name` must be one of a, b. Received: name=c."),
        ({"count": 1}, "`count` must be a whole number of at least 2. Received: count=1."),
        ({"count": True}, "`count` must be a whole number"),
        ({"share": 1}, "`share` must be finite and at least 0 and below 1. Received: share=1."),
        ({"rate": 0}, "`rate` must be finite and at most 2 and above 0. Received: rate=0."),
        ({"rate": float("inf")}, "`rate` must be finite"),
        ({"rate": None}, "`rate` must not be empty. Received: rate=None."),
        ({"on": 1}, "`on` must be true or false. Received: on=1."),
        ({"text": 3}, "`text` must be text. Received: text=3."),
    ],
)
def test_values_outside_of_the_rules_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Example(**values)


def test_values_at_the_bounds_are_accepted():
    example = Example("b", 2, 0, 2)
    assert (example.count, example.share, example.rate) == (2, 0, 2) and Example().count is None


def test_kinds_leave_out_none():
    assert kinds(int | None) == {int} and kinds(float | str) == {float, str} and kinds(bool) == {bool}


def test_yaml_reads_off_as_a_word_and_exponents_as_numbers(tmp_path):
    """YAML 1.1, which PyYAML follows, reads `off` as false and 1e-4 as text."""
    (tmp_path / "c.yaml").write_text("name: off\ncount: 3\nshare: 1e-2\nrate: -.5\non: false\ntext: no\n")
    expected = {"name": "off", "count": 3, "share": 0.01, "rate": -0.5, "on": False, "text": "no"}
    values = read_values(tmp_path / "c.yaml", Example)
    assert values == expected and [type(value) for value in values.values()] == [str, int, float, float, bool, str]


def test_unknown_fields_and_missing_files_are_named(tmp_path):
    (tmp_path / "c.json").write_text('{"nmae": "a"}')
    with pytest.raises(
        ValueError, match=r"c.json is not the configuration of a run: Unknown fields: nmae \(did you mean name\?\)\."
    ):
        read_values(tmp_path / "c.json", Example)
    with pytest.raises(FileNotFoundError, match="none.json does not exist"):
        read_values(tmp_path / "none.json", Example)


def test_a_choice_must_be_one_of_the_given_ones():
    require_choice("f1", "operating_point", OPERATING_POINTS)
    message = "`operating_point` must be one of youden, sensitivity_90, f1. Received: operating_point=best."
    with pytest.raises(ValueError, match=message):
        require_choice("best", "operating_point", OPERATING_POINTS)

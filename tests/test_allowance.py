import pytest

from mamsf_keras.allowance import allowed_count, parse_allowance

pytestmark = pytest.mark.no_keras


@pytest.mark.parametrize(
    ("value", "total", "count"),
    [(0, 60, 0), (59, 60, 59), ("7", 60, 7), ("5%", 60, 3), ("5%", 112_120, 5606), ("29%", 100, 29), ("0.5%", 1000, 5)],
)
def test_number_or_percentage(value, total, count):
    assert allowed_count("allow_missing", value, total) == count


def test_true_means_the_default():
    assert parse_allowance("allow_missing", True) == "5%" and parse_allowance("allow_missing", False) == 0


@pytest.mark.parametrize("value", [-1, "-1", 0.5, "5 %", "101%", "many", "", "%", None])
def test_other_values_are_refused(value):
    words = f"`allow_missing` must be a number of images, or a percentage such as 5%. Received: allow_missing={value}."
    with pytest.raises(ValueError) as error:
        parse_allowance("allow_missing", value)
    assert str(error.value) == words

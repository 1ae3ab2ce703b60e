import pytest

from mamsf_keras.errors import reason

pytestmark = pytest.mark.no_keras


def test_short_message_becomes_one_line():
    assert reason(ValueError("no\n  layer 'a'")) == "no layer 'a'"


def test_last_cause_of_keras_is_kept():
    """As Keras 3.15 words it, with whole configurations around the cause."""
    inner = f"Could not locate class 'Own'.\n\nFull object config: {'{}' * 900}"
    text = f"config={'{}' * 900}.\n\nException encountered: Block failed.\nException encountered: {inner}"
    assert reason(TypeError(text)) == "Could not locate class 'Own'."


def test_both_ends_of_another_long_message_are_kept():
    text = reason(MemoryError("first" + "x" * 900 + "last"), 100)
    assert text.startswith("first") and text.endswith("last") and len(text) <= 105

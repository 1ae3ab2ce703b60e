"""The number of images that may be left out, as a count or a percentage such as "5%"."""

import re
from fractions import Fraction

DEFAULT = "5%"
"""The allowance if an option is given without a value."""


def parse_allowance(name: str, value: int | str) -> int | str:
    """Returns an allowance as a whole number or as "P%". True stands for the default, False for 0.

    Args:
        name: the field that holds the value.
        value: a whole number of at least 0, or a percentage of at most 100; text is accepted for both.

    Raises:
        ValueError: if it is neither; states the rule and the value received.
    """
    text = str(value).strip()
    if text in ("True", "False"):  # Click converts the values of a configuration file to text
        return DEFAULT if text == "True" else 0
    if text.isdecimal():
        return int(text)
    if re.fullmatch(r"\d+(\.\d+)?%", text) and float(text[:-1]) <= 100:
        return text
    raise ValueError(
        f"`{name}` must be a number of images, or a percentage such as {DEFAULT}. Received: {name}={value}."
    )


def allowed_count(name: str, value: int | str, total: int) -> int:
    """Returns how many of `total` images may be left out. Raises the errors of `parse_allowance`."""
    allowance = parse_allowance(name, value)
    return allowance if isinstance(allowance, int) else int(total * Fraction(allowance[:-1]) / 100)

"""How many images may be left out: a number of them, or a share such as "5%"."""

import re
from fractions import Fraction

DEFAULT = "5%"
"""What is allowed where nothing but permission is given."""


def parse_allowance(name: str, value: int | str) -> int | str:
    """Returns an allowance as a whole number or as "P%". True is the default, False is 0.

    Args:
        name: the field that holds the value.
        value: a whole number of at least 0, or a share in percent of at most 100, also as text.

    Raises:
        ValueError: if it is neither; states the rule and the value received.
    """
    text = str(value).strip()
    if text in ("True", "False"):  # Click makes text of what a configuration file says
        return DEFAULT if text == "True" else 0
    if text.isdecimal():
        return int(text)
    if re.fullmatch(r"\d+(\.\d+)?%", text) and float(text[:-1]) <= 100:
        return text
    raise ValueError(
        f"`{name}` must be a number of images, or a percentage such as {DEFAULT}. Received: {name}={value}."
    )


def allowed_count(name: str, value: int | str, total: int) -> int:
    """Returns how many of `total` images an allowance allows to be left out. See `parse_allowance` for the errors."""
    allowance = parse_allowance(name, value)
    return allowance if isinstance(allowance, int) else int(total * Fraction(allowance[:-1]) / 100)

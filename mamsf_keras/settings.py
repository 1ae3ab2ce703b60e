"""Dataclass fields that describe and check themselves, and their values in JSON and YAML files. Pure Python."""

import dataclasses
import json
import math
import re
import types
import typing
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

from mamsf_keras.findings import with_nearest


def setting(default: Any = dataclasses.MISSING, help: str = "", **metadata: Any) -> Any:
    """Returns a dataclass field that describes itself.

    Args:
        default: default value; without one the field is required.
        help: description in one sentence.
        metadata: `choices`; the bounds `least`, `most` (inclusive), `above`, `below` (exclusive); `group`, its heading
            in the help of a command; `flag` and `metavar`, where they do not follow from its name and type; `unset`,
            the meaning of None; `bare`, the value of an option that is given without one.
    """
    return dataclasses.field(default=default, metadata={"help": help, **metadata})


def check_fields(config: Any) -> None:
    """Checks each field of a dataclass against its choices and bounds.

    Raises:
        ValueError: if a field violates its rule; states the rule and the value received.
    """
    hints = typing.get_type_hints(type(config))
    for field in dataclasses.fields(config):
        value, rules = getattr(config, field.name), field.metadata
        if value is None:
            require(type(None) in typing.get_args(hints[field.name]), field.name, "not be empty", value)
        elif "choices" in rules:
            require_choice(value, field.name, rules["choices"])
        elif kinds(hints[field.name]) == {int}:
            least = rules.get("least", 0)
            whole = isinstance(value, int) and not isinstance(value, bool)
            require(whole and value >= least, field.name, f"be a whole number of at least {least}", value)
        elif kinds(hints[field.name]) == {float}:
            number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
            require(number and within(value, rules), field.name, f"be {bounds_text(rules)}", value)
        elif kinds(hints[field.name]) == {bool}:
            require(isinstance(value, bool), field.name, "be true or false", value)
        elif kinds(hints[field.name]) == {str}:
            require(isinstance(value, str), field.name, "be text", value)


def kinds(hint: Any) -> set:
    """Returns the types of a type hint, without None."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        return {kind for kind in typing.get_args(hint) if kind is not type(None)}
    return {hint}


def within(value: float, rules: Mapping[str, Any]) -> bool:
    """Returns True if a number is inside its bounds."""
    return rules.get("least", -math.inf) <= value <= rules.get("most", math.inf) and rules.get(
        "above", -math.inf
    ) < value < rules.get("below", math.inf)


def bounds_text(rules: Mapping[str, Any]) -> str:
    """Describes the bounds of a number."""
    words = {"least": "at least", "most": "at most", "above": "above", "below": "below"}
    return " and ".join(["finite", *(f"{words[name]} {rules[name]:g}" for name in words if name in rules)])


def require(condition: object, name: str, rule: str, value: object) -> None:
    """Raises `ValueError` with the rule and the value received, unless the condition holds."""
    if not condition:
        raise ValueError(f"`{name}` must {rule}. Received: {name}={value}.")


def require_choice(value: object, name: str, choices: Collection[Any]) -> None:
    """Raises `ValueError` with the choices and the value received, unless it is one of them."""
    require(value in choices, name, f"be one of {', '.join(choices)}", value)


class YamlLoader(yaml.SafeLoader):
    """Reads booleans and numbers as YAML 1.2 does. YAML 1.1 reads `off` as false, and 1e-4 as text."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":bool", ":float"))]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


YamlLoader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("^([Tt]rue|TRUE|[Ff]alse|FALSE)$"), list("tTfF"))
YamlLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$"), list("-+.0123456789")
)


def read_values(path: str | Path, config_class: type) -> dict:
    """Reads the fields of a configuration from a JSON or YAML file, which may leave out any of them.

    Args:
        path: a file; `.json` is read as JSON, anything else as YAML.
        config_class: the dataclass whose fields these are.

    Raises:
        FileNotFoundError: if the file is missing.
        ValueError: if it is not a configuration.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"The configuration file {path} does not exist. The configuration of a run is its config.json."
        )
    try:
        text = Path(path).read_text(encoding="utf-8")
        values = json.loads(text) if Path(path).suffix == ".json" else yaml.load(text, YamlLoader)
        if not isinstance(values, dict):
            raise ValueError("it contains no fields")
        return known_fields(config_class, values)
    except (ValueError, yaml.YAMLError) as error:
        raise ValueError(f"{path} is not the configuration of a run: {' '.join(str(error).split())}") from error


def known_fields(config_class: type, values: dict) -> dict:
    """Returns the values. Raises `ValueError` if one is not a field of the class."""
    known = [field.name for field in dataclasses.fields(config_class)]
    unknown = sorted(set(map(str, values)) - set(known))
    if unknown:
        raise ValueError(f"Unknown fields: {', '.join(with_nearest(name, known) for name in unknown)}.")
    return values

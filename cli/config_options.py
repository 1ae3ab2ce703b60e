"""Options generated from the fields of `mamsf_keras/config.py`. To add an option, add a field there.

Values are looked up in this order: command line, --preset, --config (with --resume, the run), default of the field.
"""

import contextlib
import dataclasses
import logging
import os
import re
import typing

import click

from mamsf_keras.allowance import DEFAULT, parse_allowance
from mamsf_keras.config import OPERATING_POINTS, LabelsCsv, TrainConfig
from mamsf_keras.presets import PRESETS
from mamsf_keras.run_dir import RunDir
from mamsf_keras.settings import kinds, known_fields, read_values

LABEL_FIELDS = [field.name for field in dataclasses.fields(LabelsCsv) if field.name != "path"]


class Names(click.ParamType):
    """Comma-separated names."""

    name = "A,B,..."

    def convert(self, value, param, ctx):
        if not isinstance(value, str):
            return tuple(value)
        names = tuple(name.strip() for name in value.split(",") if name.strip())
        return names or self.fail(f"{value!r} contains no name.", param, ctx)


class GroupedOption(click.Option):
    """An option that is listed in the help under the heading `group`."""

    def __init__(self, *args, group=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.group = group


class GroupedCommand(click.Command):
    """A command whose help lists its options by group."""

    def format_options(self, ctx, formatter):
        groups = {}
        for parameter in self.get_params(ctx):
            if record := parameter.get_help_record(ctx):
                groups.setdefault(getattr(parameter, "group", None) or "Options", []).append(record)
        for name, records in groups.items():
            with formatter.section(name):
                formatter.write_dl(records)


class ConfiguredCommand(GroupedCommand):
    """A command that takes missing options from --preset, --config or the run that it resumes.

    These three are read before all other options, regardless of their position on the command line.
    """

    def parse_args(self, ctx, args):
        given, _, _ = self.make_parser(ctx).parse_args(list(args))
        with usage_errors(ctx):
            fields = {} if set(ctx.help_option_names) & set(args) else default_fields(given)
            ctx.default_map = flatten(fields)
            ctx.meta["fields"] = fields
        return super().parse_args(ctx, args)


def default_fields(given: dict) -> dict:
    """Returns the fields from a run or a configuration file and from a preset. The preset takes precedence."""
    fields = {}
    if given.get("resume") and given.get("run_dir") and not given.get("config"):
        fields = dataclasses.asdict(RunDir.open(given["run_dir"]).config)
    elif given.get("config"):
        fields = read_values(given["config"], TrainConfig)
    preset = PRESETS.get(given.get("preset"), {})
    # Epochs are planned in one of two ways, so a preset that uses one of them removes the fields of the other.
    replaced = {"epochs", "freeze_epochs"} if "phases" in preset else {"phases"} if "epochs" in preset else set()
    fields = {name: value for name, value in fields.items() if name not in replaced}
    return {**fields, **preset}


def flatten(fields: dict) -> dict:
    """Returns the fields as option parameters, including those of `LabelsCsv`."""
    table = fields.get("labels_csv") or {}
    table = {"path": table} if isinstance(table, str) else known_fields(LabelsCsv, table)
    flat = {("labels_csv" if name == "path" else name): value for name, value in table.items()}
    return {**{name: value for name, value in fields.items() if name != "labels_csv"}, **flat}


def config_options(config_class, leave_out=()):
    """Adds an option to a command for each field of a configuration, including those of nested dataclasses."""

    def add(command):
        for option in reversed(list(_options(config_class, leave_out, "Data"))):
            command = option(command)
        return command

    return add


def _options(config_class, leave_out, group):
    hints = typing.get_type_hints(config_class)
    for field in dataclasses.fields(config_class):
        [kind, *_] = sorted(kinds(hints[field.name]), key=lambda kind: (kind is not float, kind is not str))
        if field.name in leave_out:
            continue
        if dataclasses.is_dataclass(kind):
            yield from _options(kind, leave_out, group)
        elif field.metadata["help"]:
            yield _option(field, kind, kinds(hints[field.name]), group)


def _option(field, kind, all_kinds, group):
    rules = field.metadata
    flag = rules.get("flag", field.name.replace("_", "-"))
    text = re.sub(r"`(\w+)`", lambda match: f"--{match[1].replace('_', '-')}", rules["help"])
    shown = rules.get("unset", None if field.default is dataclasses.MISSING else field.default)
    if kind is bool:
        return click.option(
            f"--{flag}/--no-{flag}",
            field.name,
            cls=GroupedOption,
            default=None,
            group=rules.get("group", group),
            help=f"{text}  [default: {'on' if shown else 'off'}]",
        )
    bare = {"is_flag": False, "flag_value": rules["bare"]} if "bare" in rules else {}
    default = "" if shown in (None, ()) else f"  [default: {shown}]"
    name = "labels_csv" if flag == "labels-csv" else field.name
    return click.option(
        f"--{flag}",
        name,
        cls=GroupedOption,
        type=_click_type(kind, all_kinds, rules),
        default=None,
        **bare,
        metavar=rules.get("metavar", {int: "N", float: "X"}.get(kind)),
        group=rules.get("group", group),
        help=text + default,
    )


def _click_type(kind, all_kinds, rules):
    if "choices" in rules:
        return click.Choice(rules["choices"])
    if typing.get_origin(kind) is tuple:
        return Names()
    if kind is int:
        return click.IntRange(rules.get("least", 0))
    if all_kinds == {float}:
        least, most = rules.get("least", rules.get("above")), rules.get("most", rules.get("below"))
        return click.FloatRange(least, most, min_open="above" in rules, max_open="below" in rules)
    return str


def allowance_option(name, help, unset=None, **options):
    """An option for the number or percentage of images that may be left out, for commands without a configuration."""

    def parse(context, parameter, value):
        with usage_errors(context):
            return None if value is None else parse_allowance(parameter.name, value)

    text = f"{help}, up to this number or percentage. If no value follows the option, the limit is {DEFAULT}."
    text += f"  [default: {unset}]" if unset else ""
    options |= {"is_flag": False, "flag_value": DEFAULT, "metavar": "[N|P%]", "callback": parse}
    return click.option(name, help=text, **options)


def operating_point_option(default, note):
    """An option for the rule that chooses the thresholds of positive findings."""
    rules = ", ".join(f"{text} ({name})" for name, text in OPERATING_POINTS.items())
    return click.option(
        "--operating-point",
        type=click.Choice(tuple(OPERATING_POINTS)),
        default=default,
        show_default=True,
        help=f"Rule for the thresholds of positive findings: {rules}. {note}",
    )


def build_config(config_class, options: dict):
    """Builds a configuration from the option values and from the fields that have no option.

    Raises:
        click.UsageError: if a value is invalid.
    """
    context = click.get_current_context()
    if options.get("data_dir") is None:
        raise click.UsageError("Missing option '--data-dir'.", context)
    names = {field.name for field in dataclasses.fields(config_class)}
    values = {name: value for name, value in context.meta.get("fields", {}).items() if name in names}
    given = {name: value for name, value in options.items() if value is not None}
    table = {name: given.pop(name) for name in LABEL_FIELDS if name in given}
    with usage_errors(context):
        if explicit(context, "epochs") and values.get("phases"):
            raise ValueError("`epochs` cannot be used together with the `phases` of a preset or a configuration file.")
        if "labels_csv" in given:
            table["path"] = given.pop("labels_csv")
            given["labels_csv"] = LabelsCsv(**table)
        elif table:
            name = next(iter(table))
            raise ValueError(f"`{name}` must be used together with `labels_csv`. Received: {name}={table[name]}.")
        return config_class(**{**values, **given})


def explicit(context, name) -> bool:
    """Returns True if an option was given on the command line."""
    return context.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE


@contextlib.contextmanager
def usage_errors(context):
    """Converts a `ValueError` raised in the block to a usage error."""
    try:
        yield
    except ValueError as error:
        raise click.UsageError(str(error), context) from error


def _be_quiet(context, parameter, value):
    if value:
        logging.getLogger("mamsf_keras").setLevel(logging.WARNING)
        os.environ["TQDM_DISABLE"] = "1"


quiet_option = click.option(
    "--quiet",
    cls=GroupedOption,
    group="Run",
    is_flag=True,
    callback=_be_quiet,
    expose_value=False,
    help="Print only results, warnings and errors.",
)

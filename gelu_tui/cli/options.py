"""Options that several commands share, and how errors leave a command.

The options of the settings are made from their fields; the defaults are the user's: the command
tree hands them to click.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click
from click.core import ParameterSource
from msgspec.structs import replace

from gelu_tui.core.errors import ErrorInfo, GeluError, UsageError
from gelu_tui.core.settings.field import Field, fields_of
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.core.settings.user_file import Settings, SettingsFile, reference_error

_F = TypeVar("_F", bound=Callable[..., Any])

DONE, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130


class SettingOption(click.Option):
    """An option whose help shows the default in force; `unset` explains a missing one."""

    def __init__(
        self, declarations: Sequence[str] | None = None, *, unset: str = "", **attributes: Any
    ) -> None:
        super().__init__(declarations, show_default=True, **attributes)
        self._unset = unset

    def get_help_extra(self, ctx: click.Context) -> Any:
        """What stands in brackets behind the help."""
        extra = super().get_help_extra(ctx)
        if self._unset:
            extra.setdefault("default", self._unset)
        return extra


class _Known(click.Choice[str]):
    """The values of a setting, for help and completion; others are refused by the one check."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value


def options_of(schema: type[RunSettings], *names: str) -> Callable[[_F], _F]:
    """The options of the named settings, in that order; of all without names."""
    fields = fields_of(schema)

    def decorate(function: _F) -> _F:
        for name in reversed(names or tuple(fields)):
            function = _option(fields[name])(function)
        return function

    return decorate


def _option(field: Field) -> Callable[[_F], _F]:
    word = field.name.replace("_", "-")
    declarations = field.options or (f"--{word}",)
    attributes: dict[str, Any] = {"type": click.UNPROCESSED, "metavar": field.metavar}
    help_text, values = field.description, field.values()
    if True in values:
        declarations = field.options or (f"--{word}/--no-{word}",)
        attributes = {}
    elif values:
        attributes = {"type": _Known(values)}
    elif isinstance(field.default, tuple):
        attributes["multiple"] = True
        help_text += " Comma separated; may be repeated."

    def checked(ctx: click.Context, _: click.Parameter, value: Any) -> Any:
        if isinstance(value, bool) or not was_given(field.name, context=ctx):
            return value
        from gelu_tui.core.settings.validation import convert

        return convert(field, value, declarations[-1], text=True)

    return click.option(
        field.name,
        *declarations,
        cls=SettingOption,
        unset=field.unset,
        default=None if field.unset else field.default,
        callback=checked,
        help=help_text,
        **attributes,
    )


common_options = options_of(Settings, "color", "engine_command")
color_option = options_of(Settings, "color")
app_options = options_of(Settings, "theme", "refresh", "color", "engine_command")
text_or_json_option = click.option(
    "--format",
    "output_format",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="A table, or one JSON document.",
)


def prompt_argument(*, required: bool) -> Callable[[_F], _F]:
    """PROMPT, one word for the shell; several words are told how to become one."""

    def one(ctx: click.Context, _: click.Parameter, words: tuple[str, ...]) -> str | None:
        if len(words) > 1:
            group = ctx.parent.command if ctx.parent else None
            if isinstance(group, click.Group) and words[0] in group.commands:
                raise UsageError(
                    f"`{words[0]}` is a command, and an option stands before it.",
                    f"Options follow their command: see `gelu-tui {words[0]} --help`.",
                )
            raise UsageError(
                f"The prompt must be one argument, not {len(words)}.",
                f"Put it in quotation marks: '{' '.join(words)[:60]}'.",
            )
        return words[0] if words else None

    return click.argument(
        "prompt",
        nargs=-1,
        required=required,
        callback=one,
        metavar="PROMPT" if required else "[PROMPT]",
    )


def in_force(file: SettingsFile, options: dict[str, Any]) -> Settings:
    """The settings of the command that runs now: what was typed comes before the file."""
    typed = {name: value for name, value in options.items() if value is not None}
    settings = replace(file.settings, **typed)
    if not was_given("reference") and reference_error(settings):
        return replace(settings, reference=None)  # the file's is for the file's functions
    return settings


def warn_of_no_effect(settings: RunSettings) -> None:
    """Report on stderr which options were typed that need another one to have an effect."""
    typed = [
        f"--{name.replace('_', '-')}"
        for name, field in fields_of(RunSettings).items()
        if field.needs and not getattr(settings, field.needs) and was_given(name)
    ]
    if typed:
        named = " and ".join(filter(None, (", ".join(typed[:-1]), typed[-1])))
        verb = "has" if len(typed) == 1 else "have"
        message = f"{named} {verb} no effect at temperature 0."
        complain(ErrorInfo("sampling", message, "Give --temperature too, e.g. --temperature 0.8."))


def was_given(name: str, *, context: click.Context | None = None) -> bool:
    """Whether an option of the command that runs now was typed."""
    context = context or click.get_current_context()
    return context.get_parameter_source(name) is ParameterSource.COMMANDLINE


def no_color(color: str) -> bool:
    """Whether output must be without colour."""
    return color == "never" or (color == "auto" and bool(os.environ.get("NO_COLOR")))


def complain(error: GeluError | ErrorInfo) -> None:
    """Say on stderr what happened and what to do."""
    from gelu_tui.core.functions.expressions import FormulaError
    from gelu_tui.core.reports.terminal import hint_lines

    pointer = error.pointer() if isinstance(error, FormulaError) else ""
    info = error.info if isinstance(error, GeluError) else error
    with contextlib.suppress(OSError):  # nobody may be left to read it
        for line in hint_lines(info.message, info.hint, pointer):
            click.echo(line, err=True)


def abandon_stdout() -> None:
    """Let what is still buffered go nowhere: at exit Python would complain about it again."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def print_json(value: Any, *, indent: int = 0) -> None:
    """JSON on stdout, one line unless indented; always UTF-8, whatever the locale is."""
    from gelu_tui.core.runs.document import to_json

    click.echo(to_json(value, indent=indent).encode())

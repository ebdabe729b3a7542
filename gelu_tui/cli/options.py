"""Options that several commands share, and how results and errors are printed.

The options of the settings are generated from their fields; their defaults are the user's, which
the command tree passes to click.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click
from click.core import ParameterSource
from msgspec.structs import replace

from gelu_tui.cli.completers import BY_NAME
from gelu_tui.core.errors import ErrorInfo, GeluError, UsageError
from gelu_tui.core.settings.field import Field, fields_of
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.core.settings.user_file import PREFIX, Settings, SettingsFile, reference_error

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_F = TypeVar("_F", bound=Callable[..., Any])

# Under this name a context holds the commands that the first word may be meant for.
MAY_BE_A_COMMAND = "gelu_tui.may_be_a_command"
_HABITS = {"help": "--help", "version": "--version"}

# What was typed comes before the command's own variable, and that before the user's settings.
_ORDER = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT, ParameterSource.DEFAULT_MAP)

DONE, FAILED, WRONG_USAGE, INTERRUPTED = 0, 1, 2, 130


class SettingOption(click.Option):
    """An option whose help shows the default in force; `unset` explains a missing one."""

    def __init__(
        self, declarations: Sequence[str] | None = None, *, unset: str = "", **attributes: Any
    ) -> None:
        super().__init__(declarations, show_default=True, **attributes)
        self._unset = unset

    def get_help_extra(self, ctx: click.Context) -> Any:
        extra = super().get_help_extra(ctx)
        if self._unset:
            extra.setdefault("default", self._unset)
        return extra


class _Known(click.Choice[str]):
    """The values of a setting, for help and completion; the callback refuses others."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value


class _Whole(click.types.UnprocessedParamType):
    """Text whose environment variable is one value: a formula may hold blanks."""

    def split_envvar_value(self, rv: str) -> list[str]:
        return [rv]


def options_of(schema: type[RunSettings], *names: str) -> Callable[[_F], _F]:
    """Add the options of the named settings, in that order; without names, of all settings."""
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
        attributes |= {"multiple": True, "type": _Whole()}
        takes_commas = field.default or field.names()
        commas = "Comma separated; may be repeated." if takes_commas else "May be repeated."
        help_text = f"{help_text} {commas}"

    def checked(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
        if isinstance(value, bool) or not was_given(field.name, context=ctx):
            return value
        from gelu_tui.core.settings.validation import convert

        source = ctx.get_parameter_source(field.name)
        is_variable = source is ParameterSource.ENVIRONMENT and isinstance(param.envvar, str)
        typed = param.envvar if is_variable else declarations[-1]
        return convert(field, value, str(typed), text=True)

    return click.option(
        field.name,
        *declarations,
        cls=SettingOption,
        unset=field.unset,
        default=None if field.unset else field.default,
        callback=checked,
        help=help_text,
        shell_complete=BY_NAME.get(field.name),
        **attributes,
    )


def _log_level_option(function: _F) -> _F:
    """Add `--log-level`, which reaches the engine by its environment and not the function."""
    option: Callable[[_F], _F] = _option(fields_of(Settings)["log_level"])
    decorated = option(function)
    (made,) = (p for p in decorated.__click_params__ if p.name == "log_level")  # type: ignore[attr-defined]
    check, made.expose_value = made.callback, False

    def export(ctx: click.Context, param: click.Parameter, value: Any) -> None:
        os.environ[f"{PREFIX}LOG_LEVEL"] = check(ctx, param, value)

    made.callback = export
    return decorated


def engine_options(function: _F) -> _F:
    """Add the options of every command that starts an engine.

    Where a host is chosen, `engine_command` is the command that starts an engine there.
    """

    @functools.wraps(function)
    def with_engine(*args: Any, host: str | None, engine_command: str | None, **more: Any) -> Any:
        return function(*args, engine_command=_engine(host, engine_command), **more)

    options = options_of(Settings, "color", "engine_command", "host")
    return cast(_F, options(_log_level_option(with_engine)))


def _engine(host: str | None, engine_command: str | None) -> str | None:
    """Return the command of the engine; of two, what was typed comes before the user's settings.

    Raises `UsageError` for both at once.
    """
    if host is None or engine_command is None:
        return Settings(host=host, engine_command=engine_command).engine
    context = click.get_current_context()
    sources = [context.get_parameter_source(name) for name in ("host", "engine_command")]
    places = [_ORDER.index(source) for source in sources if source in _ORDER]
    if len(set(places)) < 2:
        message = "--host and --engine-command do not go together: both say where the engine is."
        raise UsageError(message, "Give one of them.")
    return Settings(host=host).engine if places[0] < places[1] else engine_command


color_option = options_of(Settings, "color")


def app_options(function: _F) -> _F:
    """Add the options of the app."""
    return options_of(Settings, "theme", "refresh")(engine_options(function))


def format_option(help_text: str, *more: str) -> Callable[[_F], _F]:
    """Add `--format`: text, json, and the formats in `more`."""
    choice = click.Choice(["text", "json", *more])
    return click.option(
        "--format", "output_format", type=choice, default="text", show_default=True, help=help_text
    )


text_or_json_option = format_option("A table, or one JSON document.")


def number_option(
    name: str, low: int, high: int | None, default: int, text: str, **more: Any
) -> Callable[[_F], _F]:
    """Add an option that takes a whole number from `low` to `high`."""
    kind = click.IntRange(low, high)
    return click.option(name, type=kind, default=default, show_default=True, help=text, **more)


def prompt_argument(*, required: bool) -> Callable[[_F], _F]:
    """Add PROMPT, one argument; several are refused with a hint to quote them."""

    def one(ctx: click.Context, _: click.Parameter, words: tuple[str, ...]) -> str | None:
        refuse_misspelt(ctx, words)
        if len(words) > 1:
            raise UsageError(
                f"The prompt must be one argument, not {len(words)}.",
                f"Put it in quotation marks: '{' '.join(words)[:60]}'.",
            )
        return words[0] if words else None

    metavar = "PROMPT" if required else "[PROMPT]"
    return click.argument("prompt", nargs=-1, required=required, callback=one, metavar=metavar)


def refuse_misspelt(ctx: click.Context, words: Sequence[str]) -> None:
    """Raise `UsageError` if a command was meant by the first of the words, which names none."""
    commands: Sequence[str] = ctx.meta.get(MAY_BE_A_COMMAND, ())
    if not (commands and words) or len(words[0].split()) != 1:
        return
    if words[0] in commands:
        raise UsageError(
            f"`{words[0]}` is a command, and an option precedes it.",
            f"Options follow their command: see `gelu-tui {words[0]} --help`.",
        )
    if near := _HABITS.get(words[0]) or _nearest(words[0].lower(), commands):
        prompt = f"'{' '.join(words)[:60]}'" if len(words) > 1 else f"-- {words[0]}"
        raise UsageError(
            f"There is no command `{words[0]}`: did you mean `gelu-tui {near}`?",
            f"As a prompt: `gelu-tui {prompt}`.",
        )


def _nearest(word: str, commands: Sequence[str]) -> str | None:
    """Return the command that is nearly the word: letters swapped, one missing or too many."""
    same_letters = (name for name in commands if sorted(name) == sorted(word))
    return next(iter([*same_letters, *get_close_matches(word, commands, 1, 0.75)]), None)


def in_force(file: SettingsFile, options: dict[str, Any]) -> Settings:
    """Return the settings of the command that runs now: what was typed comes before the file."""
    typed = {name: value for name, value in options.items() if value is not None}
    settings = replace(file.settings, **typed)
    if not was_given("reference") and reference_error(settings):
        return replace(settings, reference=None)  # the file's belongs to the file's functions
    return settings


def warn_of_no_effect(settings: RunSettings) -> None:
    """Report on stderr which options were typed that have no effect as they stand."""
    if settings.temperature and settings.top_p == 0 and was_given("top_p"):
        message = "--top-p 0 has no effect: as in mlx-lm, 0 is off, as 1 is."
        complain(ErrorInfo("sampling", message, "For the most probable token give --top-k 1."))
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
    """Return whether an option was typed, or set by the variable of the command that runs now."""
    context = context or click.get_current_context()
    source = context.get_parameter_source(name)
    return source in (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT)


def no_color(color: str) -> bool:
    """Return whether output must be without colour."""
    return color == "never" or (color == "auto" and bool(os.environ.get("NO_COLOR")))


def complain(error: GeluError | ErrorInfo) -> None:
    """Print on stderr what happened and what to do."""
    from gelu_tui.core.functions.expressions import FormulaError
    from gelu_tui.core.reports.terminal import hint_lines

    pointer = error.pointer() if isinstance(error, FormulaError) else ""
    info = error.info if isinstance(error, GeluError) else error
    with contextlib.suppress(OSError):  # nobody may be left to read it
        for line in hint_lines(info.message, info.hint, pointer):
            click.echo(line, err=True)


def print_json(value: Any, *, indent: int = 0) -> None:
    """Print JSON on stdout, one line unless indented; always UTF-8, whatever the locale is."""
    from gelu_tui.core.runs.document import to_json

    click.echo(to_json(value, indent=indent).encode())


def print_report(report: RenderableType, color: str) -> None:
    """Print a report on stdout, with the user's colour choice."""
    click.echo(report_text(report, color), nl=False, color=True)


def report_text(report: RenderableType, color: str, *, is_file: bool = False) -> str:
    """Return a report as it is printed; `is_file`: not on the terminal.

    Without trailing blanks, because a program may read it from a pipe.
    """
    console = report_console(color, is_file=is_file)
    with console.capture() as capture:
        console.print(report, crop=False)  # the id of a model is whole
    return re.sub(r" +$", "", capture.get(), flags=re.MULTILINE)


def report_console(color: str, *, is_file: bool = False) -> Console:
    """Return a console with the user's colour choice.

    Without markup, emoji codes and highlighting, because it shows text of models.
    """
    from rich.console import Console

    console = Console(
        force_terminal=True if color == "always" else False if is_file else None,
        color_system=None if color == "never" else "auto",
        no_color=no_color(color),
        highlight=False,
        markup=False,
        emoji=False,
    )
    # Some parent processes set COLUMNS=0, and then nothing at all would be printed.
    console.width = max(console.width, 20)
    return console

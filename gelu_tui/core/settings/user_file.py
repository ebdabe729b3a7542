"""The user's settings: a TOML file and the environment, read with tolerance.

Whatever is wrong in them is reported in a sentence and the default is used; the rest is kept.
"""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from gelu_tui.core import paths
from gelu_tui.core.errors import ErrorInfo, UsageError
from gelu_tui.core.functions.variants import parse_variants, resolve_reference
from gelu_tui.core.safe_text import visible_line
from gelu_tui.core.settings.field import Field, about, fields_of
from gelu_tui.core.settings.run_settings import RunSettings, Text
from gelu_tui.core.settings.validation import convert, quoted, shown, suggestion

TokenStyle = Literal["plain", "kl", "logprob", "margin"]
Scroll = Literal["together", "free"]
Color = Literal["auto", "always", "never"]

PREFIX = "GELU_TUI_"  # of a setting's environment variable
_SIZE_LIMIT = 1024 * 1024


class Settings(RunSettings, frozen=True, kw_only=True):
    """All settings: those of a run, and those of the program itself.

    TOML has no null: where the default is None, leaving the setting out is the only way to it.
    """

    engine_command: Annotated[
        Text | None,
        about(
            'Start the engine by another command, e.g. "ssh mac gelu-tui engine".',
            unset="the engine of this installation",
            example="ssh mac gelu-tui engine",
            metavar="COMMAND",
        ),
    ] = None
    color: Annotated[Color, about("Colour on the terminal; with auto, NO_COLOR is respected.")] = (
        "auto"
    )
    theme: Annotated[
        Text | None,
        about(
            "The app's colours.", unset="what suits the terminal", example="nord", metavar="NAME"
        ),
    ] = None
    refresh: Annotated[
        float,
        Meta(ge=1, le=60),
        about("Frames per second while tokens come; fewer for a slow line.", metavar="HZ"),
    ] = 12.0
    token_style: Annotated[
        TokenStyle,
        about(
            "What the look of a token shows: its text only, its KL divergence from the reference, "
            "its log-probability, or its margin."
        ),
    ] = "plain"
    scroll: Annotated[
        Scroll, about("Whether the panes scroll together, token by token, or each by itself.")
    ] = "together"
    save_runs: Annotated[
        bool, about("Keep runs in the history.", options=("--save/--no-save",))
    ] = True
    keys: Annotated[
        dict[str, str],
        about(
            "Keys of the app's actions; several are comma separated. Not every terminal sends "
            "every key: function keys, letters, and ctrl with most letters always arrive."
        ),
    ] = msgspec.field(default_factory=dict)

    def of_run(self) -> RunSettings:
        """The run settings alone."""
        return RunSettings(**{name: getattr(self, name) for name in RunSettings.__struct_fields__})


@dataclass(frozen=True)
class SettingsFile:
    """The settings that the file and the environment decide.

    `decided` are the names that one of them sets, `environment` those that the environment sets.
    """

    path: Path
    settings: Settings
    decided: frozenset[str] = frozenset()
    environment: frozenset[str] = frozenset()
    problems: tuple[ErrorInfo, ...] = ()


def settings_path() -> Path:
    """The file that GELU_TUI_CONFIG names, else `config.toml` in the user's settings folder."""
    named = os.environ.get("GELU_TUI_CONFIG")
    return Path(named).expanduser() if named else paths.config_dir() / "config.toml"


def load_settings(path: Path | None = None, schema: type[Settings] = Settings) -> SettingsFile:
    """Read file and environment; never raises. `path` None means `settings_path()`."""
    path = settings_path() if path is None else path
    values: dict[str, Any] = {}
    problems: list[ErrorInfo] = []
    try:
        values, problems = validated(path, tomllib.loads(read_text(path)), schema)
    except FileNotFoundError:
        problems += _missing(path)
    except (OSError, ValueError, RecursionError) as error:
        problems.append(unreadable(path, error))
    own = _from_environment(schema, problems)
    values |= own
    if own and (wrong := reference_error(schema(**values))):
        del values["reference"]
        if "reference" in own:  # the file's is for the file's functions
            problems.append(_problem(f"{PREFIX}REFERENCE: {wrong.info.message}", wrong.info.hint))
    return SettingsFile(path, schema(**values), frozenset(values), frozenset(own), tuple(problems))


def read_text(path: Path) -> str:
    """The text of a settings file. Raises `OSError` and `ValueError`."""
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(0, "it is a folder")
    if not (stat.S_ISREG(mode) or path == Path(os.devnull)):
        raise OSError(0, "it is not a file")
    with path.open("rb") as file:
        data = file.read(_SIZE_LIMIT + 1)
    if len(data) > _SIZE_LIMIT:
        raise ValueError(f"it is longer than {_SIZE_LIMIT:,} bytes")
    return data.decode("utf-8").removeprefix("\ufeff")


def unreadable(path: Path, error: Exception) -> ErrorInfo:
    """Why nothing of a settings file is used."""
    match error:
        case UnicodeDecodeError():
            why = f"is not valid UTF-8 (byte {error.start})"
        case tomllib.TOMLDecodeError():
            why = f"is not valid TOML: {visible_line(str(error))}"
        case RecursionError():
            why = "is not valid TOML: it is nested too deep"
        case OSError():
            why = f"cannot be read: {error.strerror}"
        case _:
            why = f"cannot be read: {visible_line(str(error))}"
    return _problem(f"The settings file {shown(path)} {why}.", "The defaults are used.")


def _missing(path: Path) -> list[ErrorInfo]:
    if not os.environ.get("GELU_TUI_CONFIG") or path != settings_path():
        return []
    sentence = f"There is no settings file {shown(path)}, which GELU_TUI_CONFIG names."
    return [_problem(sentence, "The defaults are used.")]


def validated(
    path: Path, entries: Mapping[str, Any], schema: type[Settings] = Settings
) -> tuple[dict[str, Any], list[ErrorInfo]]:
    """The usable values among a file's entries, and what is wrong with the others."""
    fields = fields_of(schema)
    where = f"In {shown(path)}"
    values: dict[str, Any] = {}
    problems: list[ErrorInfo] = []
    for name, value in entries.items():
        if name not in fields:
            problems.append(
                _problem(
                    f"{where} there is no setting named '{shown(name)}'.",
                    suggestion(name, fields) or "`gelu-tui settings --defaults` lists all.",
                )
            )
        elif name == "keys" and isinstance(value, dict):
            values["keys"] = _texts(where, value, problems)
        else:
            try:
                values[name] = _value(fields[name], value)
            except UsageError as error:
                problems.append(_problem(f"{where}, {error.info.message}", error.info.hint))
    if wrong := reference_error(schema(**values)):
        del values["reference"]
        problems.append(_problem(f"{where}: {wrong.info.message}", wrong.info.hint))
    return values, problems


def _texts(where: str, keys: dict[str, Any], problems: list[ErrorInfo]) -> dict[str, str]:
    """The usable keys: one wrong key leaves the others."""
    problems += (
        _problem(
            f"{where}, keys.{shown(name)} must be text such as 'ctrl+r,f4', not {quoted(key)}.",
            "The action's own keys are used.",
        )
        for name, key in keys.items()
        if not isinstance(key, str)
    )
    return {name: key for name, key in keys.items() if isinstance(key, str)}


def _from_environment(schema: type[Settings], problems: list[ErrorInfo]) -> dict[str, Any]:
    """The usable values of the environment; an empty variable is one that is not set."""
    values = {}
    for name, field in fields_of(schema).items():
        variable = f"{PREFIX}{name.upper()}"
        if text := os.environ.get(variable):
            try:
                values[name] = _value(field, text, variable)
            except UsageError as error:
                problems.append(_problem(error.info.message, error.info.hint))
    return values


def _value(field: Field, value: object, variable: str = "") -> Any:
    """One value, with what is used instead of a wrong one as the hint. Raises `UsageError`."""
    if variable:
        instead = "The variable is ignored."
    elif field.default is None:
        instead = "It is treated as left out."
    else:
        instead = f"{shown(field.default)} is used instead."
    try:
        found = convert(field, value, variable, text=bool(variable))
    except UsageError as error:
        raise UsageError(error.info.message, instead) from None
    if field.name == "activations":
        try:
            parse_variants(found)
        except UsageError as error:
            message = f"{variable or field.name} cannot be used: {error.info.message}"
            raise UsageError(message, error.info.hint) from None
    return found


def reference_error(settings: RunSettings) -> UsageError | None:
    """What is wrong where the reference is not among the functions."""
    if settings.reference is None:
        return None
    try:
        resolve_reference(parse_variants(settings.activations), settings.reference, None)
    except UsageError as error:
        return error
    return None


def _problem(message: str, hint: str) -> ErrorInfo:
    return ErrorInfo("settings", message, hint)

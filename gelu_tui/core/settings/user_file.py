"""The user's settings: a TOML file and the environment.

For each wrong setting a problem is reported and the default is used; the others are kept.
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
from gelu_tui.core.remote import HOST_PATTERN, ssh_command
from gelu_tui.core.safe_text import visible_line
from gelu_tui.core.settings.field import Field, about, fields_of
from gelu_tui.core.settings.run_settings import RunSettings, Text
from gelu_tui.core.settings.validation import convert, quoted, shown, suggestion
from gelu_tui.core.text_files import other_encoding

LogLevel = Literal["debug", "info", "warning", "error"]
TokenStyle = Literal["plain", "kl", "logprob", "margin"]

PREFIX = "GELU_TUI_"  # of a setting's environment variable
_SIZE_LIMIT = 1024 * 1024


class Settings(RunSettings, frozen=True, kw_only=True):
    """All settings: of a run, and of the program. TOML has no null: leave out what is None."""

    engine_command: Annotated[
        Text | None,
        about(
            'Start the engine by another command, e.g. "ssh mac gelu-tui engine".',
            unset="the engine of this installation",
            example="ssh mac gelu-tui engine",
            metavar="COMMAND",
        ),
    ] = None
    host: Annotated[
        Annotated[str, Meta(pattern=HOST_PATTERN)] | None,
        about(
            "Run the engine, with its models, on this machine, by ssh: mac, user@mac, mac:2222.",
            unset="this machine",
            example="mac",
            metavar="HOST",
            form="a machine's name as ssh takes it, such as mac, user@mac or mac:2222",
        ),
    ] = None
    log_level: Annotated[
        LogLevel,
        about("How much the engine writes into its log; `gelu-tui --version` says where it is."),
    ] = "info"
    color: Annotated[
        Literal["auto", "always", "never"],
        about("Colour on the terminal; with auto, NO_COLOR is respected."),
    ] = "auto"
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
        Literal["together", "free"],
        about("Whether the panes scroll together, token by token, or each by itself."),
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

    @property
    def engine(self) -> str | None:
        """The command that starts the engine; None: our own."""
        if self.engine_command is None and self.host is not None:
            return ssh_command(self.host)
        return self.engine_command


@dataclass(frozen=True)
class SettingsFile:
    """The settings, with the names of those that come from file or environment."""

    path: Path
    settings: Settings
    decided: frozenset[str] = frozenset()  # by the file or the environment
    environment: frozenset[str] = frozenset()  # by the environment
    problems: tuple[ErrorInfo, ...] = ()


def settings_path() -> Path:
    """Return the file that GELU_TUI_CONFIG names, else the user's `config.toml`."""
    named = os.environ.get("GELU_TUI_CONFIG")
    return Path(named).expanduser() if named else paths.config_dir() / "config.toml"


def load_settings(
    path: Path | None = None,
    schema: type[Settings] = Settings,
    environ: Mapping[str, str] = os.environ,
) -> SettingsFile:
    """Read file and environment; never raises. `path` None means `settings_path()`."""
    path = settings_path() if path is None else path
    values: dict[str, Any] = {}
    problems: list[ErrorInfo] = []
    try:
        values, problems = validated(path, tomllib.loads(read_text(path)), schema)
    except FileNotFoundError:
        if os.environ.get("GELU_TUI_CONFIG") and path == settings_path():
            sentence = f"There is no settings file {shown(path)}, which GELU_TUI_CONFIG names."
            problems.append(_problem(sentence, "The defaults are used."))
    except (OSError, ValueError, RecursionError) as error:
        problems.append(unreadable(path, error))
    own = {}
    for name, field in fields_of(schema).items():
        variable = f"{PREFIX}{name.upper()}"
        if text := environ.get(variable):  # an empty variable is treated as not set
            try:
                own[name] = _value(field, text, variable)
            except UsageError as error:
                problems.append(_problem(error.info.message, error.info.hint))
    if _without_host(own):
        problems.append(_two_engines("In the environment"))
    if "host" in own:
        values.pop("engine_command", None)
    if "engine_command" in own:
        values.pop("host", None)
    values |= own
    if own and (wrong := reference_error(schema(**values))):
        del values["reference"]
        if "reference" in own:  # the file's is for the file's functions
            problems.append(_problem(f"{PREFIX}REFERENCE: {wrong.info.message}", wrong.info.hint))
    return SettingsFile(path, schema(**values), frozenset(values), frozenset(own), tuple(problems))


def read_text(path: Path) -> str:
    """Return the text of a settings file. Raises `OSError` and `ValueError`."""
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


def unreadable(
    path: Path, error: Exception, what: str = "settings file", hint: str = "The defaults are used."
) -> ErrorInfo:
    """Return the reason why nothing of a TOML file is used; `what` it is called."""
    match error:
        case UnicodeDecodeError():
            encoding = other_encoding(error.object)
            reason = f"it is {encoding}" if encoding else f"byte {error.start}"
            why = f"is not valid UTF-8 ({reason})"
        case tomllib.TOMLDecodeError():
            why = f"is not valid TOML: {visible_line(str(error))}"
        case RecursionError():
            why = "is not valid TOML: it is nested too deep"
        case _:
            why = f"cannot be read: {getattr(error, 'strerror', '') or visible_line(str(error))}"
    return _problem(f"The {what} {shown(path)} {why}.", hint)


def validated(
    path: Path, entries: Mapping[str, Any], schema: type[Settings] = Settings
) -> tuple[dict[str, Any], list[ErrorInfo]]:
    """Return the usable values among a file's entries, and what is wrong with the others."""
    fields = fields_of(schema)
    where = f"In {shown(path)}"
    values: dict[str, Any] = {}
    problems: list[ErrorInfo] = []
    for name, value in entries.items():
        if name not in fields:
            hint = suggestion(name, fields) or "`gelu-tui settings --defaults` lists all."
            problems.append(_problem(f"{where} there is no setting named '{shown(name)}'.", hint))
        elif name == "keys" and isinstance(value, dict):  # one wrong key leaves the others
            values["keys"] = {key: text for key, text in value.items() if isinstance(text, str)}
            for key in [key for key in value if key not in values["keys"]]:
                must = f"must be text such as 'ctrl+r,f4', not {quoted(value[key])}."
                hint = "The action's own keys are used."
                problems.append(_problem(f"{where}, keys.{shown(key)} {must}", hint))
        else:
            try:
                values[name] = _value(fields[name], value)
            except UsageError as error:
                problems.append(_problem(f"{where}, {error.info.message}", error.info.hint))
    if _without_host(values):
        problems.append(_two_engines(where))
    if wrong := reference_error(schema(**values)):
        del values["reference"]
        problems.append(_problem(f"{where}: {wrong.info.message}", wrong.info.hint))
    return values, problems


def _value(field: Field, value: object, variable: str = "") -> Any:
    """Return one value. Raises `UsageError`, whose hint is what is used instead."""
    left_out = "It is treated as left out."
    instead = left_out if field.default is None else f"{shown(field.default)} is used instead."
    instead = "The variable is ignored." if variable else instead
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


def _without_host(values: dict[str, Any]) -> bool:
    """Leave out the host beside a command for the engine; return whether both were there."""
    return "engine_command" in values and values.pop("host", None) is not None


def _two_engines(where: str) -> ErrorInfo:
    message = f"{where} there are both host and engine_command, which both say where the engine is."
    return _problem(message, "engine_command is used.")


def reference_error(settings: RunSettings) -> UsageError | None:
    """Return the error of a reference that is not among the functions."""
    if settings.reference is None:
        return None
    try:
        resolve_reference(parse_variants(settings.activations), settings.reference, None)
    except UsageError as error:
        return error
    return None


def _problem(message: str, hint: str) -> ErrorInfo:
    return ErrorInfo("settings", message, hint)

"""The user's settings: a TOML file, read with tolerance.

Whatever is wrong in the file is told in a sentence and falls back to its default; the rest counts.
"""

from __future__ import annotations

import difflib
import os
import stat
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, inspect

from gelu_tui.core import paths
from gelu_tui.core import protocol as p
from gelu_tui.core.activations import parse_variants, resolve_reference, split_specs
from gelu_tui.core.errors import ErrorInfo, UsageError
from gelu_tui.core.registry import DEFAULT_SET
from gelu_tui.core.requests import MAX_SEED, MAX_TEMPERATURE, MAX_TOKENS_LIMIT, MAX_TOP_K
from gelu_tui.core.safe_text import visible_line

TokenStyle = Literal["plain", "kl", "logprob", "margin"]
Scroll = Literal["together", "free"]
Color = Literal["auto", "always", "never"]
Dtype = Literal["float32", "bfloat16", "float16"]
_Text = Annotated[str, Meta(min_length=1)]

_SIZE_LIMIT = 1024 * 1024
_SHOWN = 40  # characters of a wrong value


class Settings(msgspec.Struct, frozen=True):
    """Every setting with its default; what each means is in `settings_text`.

    TOML has no null: where the default is None, leaving the setting out is the only way to it.
    """

    model: _Text = "demo"
    activations: tuple[str, ...] = DEFAULT_SET
    reference: _Text | None = None
    max_tokens: Annotated[int, Meta(ge=1, le=MAX_TOKENS_LIMIT)] = 256
    schedule: p.Schedule = "lockstep"
    chat: bool | Literal["auto"] = "auto"
    activation_precision: p.Precision = "float32"
    temperature: Annotated[float, Meta(ge=0, le=MAX_TEMPERATURE)] = 0.0
    seed: Annotated[int, Meta(ge=0, le=MAX_SEED)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] = 1.0
    top_k: Annotated[int, Meta(ge=0, le=MAX_TOP_K)] = 0
    min_p: Annotated[float, Meta(ge=0, le=1)] = 0.0
    control: bool = False
    replay: bool = True
    dtype: Dtype | None = None
    engine_command: _Text | None = None
    color: Color = "auto"
    theme: _Text | None = None
    refresh: Annotated[float, Meta(ge=1, le=60)] = 12.0
    token_style: TokenStyle = "plain"
    scroll: Scroll = "together"
    save_runs: bool = True
    keys: dict[str, str] = msgspec.field(default_factory=dict)


FIELDS = {field.name: field for field in msgspec.structs.fields(Settings)}


@dataclass(frozen=True)
class SettingsFile:
    """What a settings file came to; `given` are the names of the settings that it decides."""

    path: Path
    settings: Settings
    given: frozenset[str] = frozenset()
    problems: tuple[ErrorInfo, ...] = ()


def settings_path() -> Path:
    """The file that GELU_TUI_CONFIG names, else `config.toml` in the user's settings folder."""
    named = os.environ.get("GELU_TUI_CONFIG")
    return Path(named).expanduser() if named else paths.config_dir() / "config.toml"


def load_settings(path: Path | None = None) -> SettingsFile:
    """Read the settings; never raises. `path` None means `settings_path()`."""
    path = settings_path() if path is None else path
    try:
        text = read_text(path)
        entries = tomllib.loads(text)
    except FileNotFoundError:
        return SettingsFile(path, Settings(), problems=_missing(path))
    except (OSError, ValueError, RecursionError) as error:
        return SettingsFile(path, Settings(), problems=(unreadable(path, error),))
    return _validated(path, entries)


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
    """Why nothing of a settings file counts."""
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
    return _problem(f"The settings file {_shown(path)} {why}.", "The defaults are used.")


def _missing(path: Path) -> tuple[ErrorInfo, ...]:
    if not os.environ.get("GELU_TUI_CONFIG") or path != settings_path():
        return ()
    return (
        _problem(
            f"There is no settings file {_shown(path)}, which GELU_TUI_CONFIG names.",
            "The defaults are used.",
        ),
    )


def _validated(path: Path, entries: Mapping[str, Any]) -> SettingsFile:
    values: dict[str, Any] = {}
    problems: list[ErrorInfo] = []
    where = f"In {_shown(path)}"
    for name, value in entries.items():
        if name not in FIELDS:
            problems.append(
                _problem(
                    f"{where} there is no setting named '{_shown(name)}'.",
                    suggestion(name, FIELDS) or "`gelu-tui settings --defaults` lists all.",
                )
            )
        elif name == "keys" and isinstance(value, dict):
            values["keys"] = {key: keys for key, keys in value.items() if isinstance(keys, str)}
            problems.extend(
                _problem(
                    f"{where}, keys.{_shown(key)} must be text such as 'ctrl+r,f4', "
                    f"not {_told(keys)}.",
                    "The action's own keys are used.",
                )
                for key, keys in value.items()
                if not isinstance(keys, str)
            )
        else:
            try:
                values[name] = convert(name, value)
            except UsageError as error:
                problems.append(_problem(f"{where}, {error.info.message}", error.info.hint))
    _check_reference(where, values, problems)
    return SettingsFile(path, Settings(**values), frozenset(values), tuple(problems))


def convert(name: str, value: object) -> Any:
    """The value of one setting. Raises `UsageError`, with what is allowed."""
    field = FIELDS[name]
    if name == "activations" and isinstance(value, str):
        value = [value]
    try:
        found = msgspec.convert(value, field.type)
    except msgspec.ValidationError:
        found = None
    if found is None or found != found:  # nan passes every limit
        raise UsageError(
            f"{name} must be {allowed(field.type)}, not {_told(value)}.", _until_mended(name)
        )
    return _specs(found) if name == "activations" else found


def _specs(values: tuple[str, ...]) -> tuple[str, ...]:
    specs = tuple(split_specs(values))
    try:
        parse_variants(specs)
    except UsageError as error:
        raise UsageError(
            f"activations cannot be used: {error.info.message}", error.info.hint
        ) from None
    return specs


def _until_mended(name: str) -> str:
    default = FIELDS[name].default
    return "It counts as left out." if default is None else f"{_shown(default)} is used instead."


def _check_reference(where: str, values: dict[str, Any], problems: list[ErrorInfo]) -> None:
    """A reference counts only among the functions that are chosen."""
    if "reference" not in values:
        return
    variants = parse_variants(values.get("activations", DEFAULT_SET))
    try:
        resolve_reference(variants, values["reference"], None)
    except UsageError as error:
        del values["reference"]
        message = error.info.message
        problems.append(_problem(f"{where}: {message}", error.info.hint))


def allowed(type_: Any) -> str:
    """What a type allows, in words."""
    return _words(inspect.type_info(type_))


def _words(info: inspect.Type) -> str:
    match info:
        case inspect.Metadata():
            return _words(info.type)
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType(ge=low, le=high):
            return f"a whole number from {low} to {high}"
        case inspect.FloatType(ge=low, le=high):
            return f"a number from {low:g} to {high:g}"
        case inspect.LiteralType(values=values):
            return " or ".join(f'"{value}"' for value in values)
        case inspect.VarTupleType():
            return "a list of texts"
        case inspect.DictType():
            return "a table"
        case inspect.UnionType(types=types):
            return " or ".join(_words(t) for t in types if not isinstance(t, inspect.NoneType))
    return "text"


def suggestion(name: str, known: Iterable[str]) -> str:
    """A question about the nearest known name; empty if none is near."""
    near = difflib.get_close_matches(name.lower(), list(known), n=1)
    return f"Did you mean '{near[0]}'?" if near else ""


def _told(value: object) -> str:
    """A value as it stands in the file: "9" is not 9."""
    return f'"{_shown(value)}"' if isinstance(value, str) else _shown(value)


def _shown(value: object) -> str:
    text = str(value)
    if isinstance(value, bool):
        text = text.lower()
    shown = visible_line(text)
    if isinstance(value, Path) or len(shown) <= _SHOWN:
        return shown
    return f"{shown[:_SHOWN]}…"


def _problem(message: str, hint: str) -> ErrorInfo:
    return ErrorInfo("settings", message, hint)

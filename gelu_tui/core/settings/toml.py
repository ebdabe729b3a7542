"""The settings as a commented TOML document."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Any

import tomlkit

from gelu_tui.core.safe_text import visible, visible_line
from gelu_tui.core.settings.field import Field, fields_of
from gelu_tui.core.settings.user_file import PREFIX, Settings, SettingsFile
from gelu_tui.core.settings.validation import allowed

_WIDTH = 88


def effective_toml(file: SettingsFile) -> str:
    """The settings in force; those that the file does not decide are marked."""
    parts = [f"# {visible_line(str(file.path))}", ""]
    for name, field in fields_of(type(file.settings)).items():
        value = getattr(file.settings, name)
        if name in file.environment:
            source = f"  # {PREFIX}{name.upper()}"
        else:
            source = "" if name in file.decided else "  # default"
        if isinstance(value, dict):
            parts += ["", f"[{name}]{source if value else ''}"]
            parts += [_line(key, one) for key, one in value.items()]
        elif value is None:
            parts.append(_comment(f"{name} is left out: {field.unset}."))
        else:
            parts.append(f"{_line(name, value)}{source}")
    return "\n".join(parts) + "\n"


def default_toml(actions: Iterable[tuple[str, str, str]], schema: type[Settings] = Settings) -> str:
    """Every setting explained, with its default commented out: a settings file to begin with.

    `actions` are name, default keys and explanation of what can have other keys.
    """
    parts = [
        _comment("Settings of gelu-tui. Take the # away from a line to change it."),
        _comment(f"An environment variable, e.g. {PREFIX}MAX_TOKENS=40, comes before the file."),
        "",
    ]
    for name, field in fields_of(schema).items():
        parts.append(_comment(_explained(field)))
        if isinstance(field.default, dict):
            parts.append(f"[{name}]")
        else:
            value = field.example if field.default is None else field.default
            parts += [f"# {_line(name, value)}", ""]
    parts += [
        f"# {_line(name, keys)}  # {visible_line(explanation)}"
        for name, keys, explanation in actions
    ]
    return "\n".join(parts) + "\n"


def _explained(field: Field) -> str:
    parts = [field.description]
    if field.unset:
        default = "Left out" if field.default is None else field.default
        parts.append(f"{default}: {field.unset}.")
    if (limits := allowed(field)) not in ("text", "a table"):
        parts.append(f"Allowed: {limits}.")
    return " ".join(parts)


def _comment(text: str) -> str:
    lines = textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)
    return "\n".join(f"# {line}" for line in lines)


def _line(name: str, value: Any) -> str:
    if isinstance(value, tuple):
        shown = f"[{', '.join(_toml(item) for item in value)}]"
    else:
        shown = _toml(value)
    return f"{_toml_key(name)} = {shown}"


def _toml_key(name: str) -> str:
    return _escaped(tomlkit.key(name).as_string())


def _toml(value: Any) -> str:
    return _escaped(tomlkit.item(value).as_string())


def _escaped(text: str) -> str:
    """What acts on a terminal as an escape of TOML: the same value, safe to print."""
    return "".join(c if visible(c) == c else f"\\U{ord(c):08x}" for c in text)

"""The settings as a commented TOML document."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Any

import tomlkit

from gelu_tui.core.safe_text import visible, visible_line
from gelu_tui.core.settings.field import fields_of
from gelu_tui.core.settings.user_file import PREFIX, Settings, SettingsFile
from gelu_tui.core.settings.validation import allowed


def effective_toml(file: SettingsFile) -> str:
    """Return the settings in force; those that the file does not set are marked."""
    parts = [f"# {visible_line(str(file.path))}", ""]
    for name, field in fields_of(type(file.settings)).items():
        value = getattr(file.settings, name)
        source = "" if name in file.decided else "  # default"
        if name in file.environment:
            source = f"  # {PREFIX}{name.upper()}"
        if isinstance(value, dict):
            parts += ["", f"[{name}]{source if value else ''}"]
            parts += [_line(key, one) for key, one in value.items()]
        elif value is None:
            parts.append(_comment(f"{name} is left out: {field.unset}."))
        else:
            parts.append(f"{_line(name, value)}{source}")
    return "\n".join(parts) + "\n"


def default_toml(actions: Iterable[tuple[str, str, str]], schema: type[Settings] = Settings) -> str:
    """Return a settings file with every setting explained and its default commented out.

    `actions` are name, default keys and explanation of each action whose keys can be set.
    """
    parts = [
        _comment("Settings of gelu-tui. Remove the # from a line to change it."),
        _comment(f"An environment variable, e.g. {PREFIX}MAX_TOKENS=40, overrides the file."),
        "",
    ]
    for name, field in fields_of(schema).items():
        explained = [field.description]
        if field.unset:
            default = "Left out" if field.default is None else field.default
            explained.append(f"{default}: {field.unset}.")
        if (limits := allowed(field.info)) not in ("text", "a table"):
            explained.append(f"Allowed: {limits}.")
        parts.append(_comment(" ".join(explained)))
        if isinstance(field.default, dict):
            parts.append(f"[{name}]")
        else:
            value = field.example if field.default is None else field.default
            parts += [f"# {_line(name, value)}", ""]
    parts += [f"# {_line(name, keys)}  # {visible_line(text)}" for name, keys, text in actions]
    return "\n".join(parts) + "\n"


def _comment(text: str) -> str:
    lines = textwrap.wrap(text, 88, break_long_words=False, break_on_hyphens=False)
    return "\n".join(f"# {line}" for line in lines)


def _line(name: str, value: Any) -> str:
    item = tomlkit.item(list(value) if isinstance(value, tuple) else value)
    return f"{_escaped(tomlkit.key(name).as_string())} = {_escaped(item.as_string())}"


def _escaped(text: str) -> str:
    """Escape what could act on a terminal as TOML does: the same value, safe to print."""
    return "".join(c if visible(c) == c else f"\\U{ord(c):08x}" for c in text)

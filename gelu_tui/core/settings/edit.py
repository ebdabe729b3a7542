"""Changing one setting in the user's file: comments and order stay, and nothing is ever lost."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
import tomllib
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError

from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.safe_text import visible_line
from gelu_tui.core.settings.field import fields_of
from gelu_tui.core.settings.user_file import Settings, read_text, settings_path, unreadable
from gelu_tui.core.settings.validation import convert


def save_setting(name: str, value: Any, path: Path | None = None) -> ErrorInfo | None:
    """Write one setting; None takes it out, and `keys.NAME` is the key of an action.

    A file that cannot be read as TOML is set aside under another name, and the sentence that is
    returned says so. Raises `GeluError` if nothing could be saved, `UsageError` for a value that
    is not allowed.
    """
    path = settings_path() if path is None else path
    if value is not None and "." not in name:
        value = convert(fields_of(Settings)[name], value)
    # A link, into a folder of dotfiles for instance, stays a link.
    target = path.resolve()
    broken: ErrorInfo | None = None
    if target.exists() and not target.is_file():
        raise _not_saved(path, "it is not a file")  # /dev/null must not be replaced
    try:
        text = read_text(target)
        tomllib.loads(text)
    except FileNotFoundError:
        text = ""
    except OSError as error:
        raise _not_saved(path, error.strerror) from None
    except (ValueError, RecursionError) as error:
        text, broken = "", unreadable(path, error)
    changed = _with(text, name, value, path)
    try:
        aside = _write(target, changed, set_aside=broken is not None)
    except OSError as error:
        raise _not_saved(path, error.strerror) from None
    if broken is None or aside is None:
        return None
    return ErrorInfo("settings", broken.message, f"It was kept as {aside}; a new one was begun.")


def _with(text: str, name: str, value: Any, path: Path) -> str:
    """The document with one value changed, checked by Python's own reader."""
    *tables, key = name.split(".", 1)
    try:
        document = tomlkit.parse(text)
        table: MutableMapping[str, Any] = document
        for table_name in tables:
            if table_name not in table:
                table[table_name] = tomlkit.table()
            table = table[table_name]
        if value is None:
            table.pop(key, None)
        else:
            table[key] = list(value) if isinstance(value, tuple) else value
        changed = tomlkit.dumps(document)
        found: Any = tomllib.loads(changed)
        for part in (*tables, key):
            found = found.get(part)
    except (TOMLKitError, ValueError, TypeError, AttributeError) as error:
        raise _not_saved(path, visible_line(str(error))) from None
    if found != (list(value) if isinstance(value, tuple) else value):
        raise _not_saved(path, "its layout is too unusual")
    return changed


def _write(target: Path, text: str, *, set_aside: bool) -> Path | None:
    """Replace the file in one step, readable by its owner only; the old one's new name, if any."""
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    aside: Path | None = None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if set_aside:
            aside = _free_name(target)
            target.rename(aside)
        Path(name).replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
    return aside


def _free_name(target: Path) -> Path:
    stamp = time.strftime("%Y%m%d-%H%M%S")
    names = (f"{target.name}.broken-{stamp}{more}" for more in ("", *(f"-{n}" for n in range(99))))
    return next(name for name in map(target.with_name, names) if not name.exists())


def _not_saved(path: Path, why: str | None) -> GeluError:
    return GeluError(
        "settings",
        f"The settings cannot be saved in {visible_line(str(path))}: {why}.",
        "GELU_TUI_CONFIG may name another file.",
    )

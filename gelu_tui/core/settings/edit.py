"""Changing settings in the user's file; comments, order and broken files are kept."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
import time
import tomllib
from collections.abc import Mapping
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
    """Write one setting, as `save_settings` writes several."""
    return save_settings({name: value}, path)


def save_settings(values: Mapping[str, Any], path: Path | None = None) -> ErrorInfo | None:
    """Write settings, all or none; None removes one, and `keys.NAME` is the key of an action.

    A file that is not valid TOML is renamed, and that is reported by the returned error. Raises
    `GeluError` if nothing could be saved, `UsageError` for a value that is not allowed.
    """
    path = settings_path() if path is None else path
    values = {
        name: value if value is None or "." in name else convert(fields_of(Settings)[name], value)
        for name, value in values.items()
    }
    target = path.resolve()  # a link, into a folder of dotfiles for instance, stays a link
    if target.exists() and not target.is_file():
        raise _not_saved(path, "it is not a file")  # /dev/null must not be replaced
    text, broken = "", None
    try:
        text = read_text(target)
        tomllib.loads(text)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise _not_saved(path, error.strerror) from None
    except (ValueError, RecursionError) as error:
        text, broken = "", unreadable(path, error)
        if path.is_symlink():  # perhaps no settings at all
            raise _not_saved(path, f"{target} is not valid TOML, and it is only a link") from None
    changed = text
    for name, value in values.items():
        changed = _with(changed, name, value, path)
    try:
        aside = _free_name(target) if broken else None
        _write(target, changed, aside)
    except OSError as error:
        raise _not_saved(path, error.strerror) from None
    hint = f"It was kept as {aside}; a new one was begun."
    return ErrorInfo("settings", broken.message, hint) if broken else None


def _with(text: str, name: str, value: Any, path: Path) -> str:
    """Return the document with one value changed, checked by Python's own reader."""
    *tables, key = name.split(".", 1)
    value = list(value) if isinstance(value, tuple) else value
    try:
        table: Any = (document := tomlkit.parse(text))
        for part in tables:
            table = table.setdefault(part, tomlkit.table())
        if value is None:
            table.pop(key, None)
        else:
            table[key] = value
        changed = tomlkit.dumps(document)
        found: Any = tomllib.loads(changed)
        for part in (*tables, key):
            found = found.get(part)
    except (TOMLKitError, ValueError, TypeError, AttributeError) as error:
        raise _not_saved(path, visible_line(str(error))) from None
    if found != value:
        raise _not_saved(path, "its layout is too unusual")
    return changed


def _write(target: Path, text: str, aside: Path | None) -> None:
    """Replace the file in one step; `aside` is the old one's name.

    A new file is readable by its owner only; one that was there keeps its mode.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            if target.exists():
                os.fchmod(descriptor, stat.S_IMODE(target.stat().st_mode))
            os.fsync(descriptor)
        if aside:
            target.rename(aside)
        Path(name).replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


def _free_name(target: Path) -> Path:
    stamp = time.strftime("%Y%m%d-%H%M%S")
    names = (f"{target.name}.broken-{stamp}{more}" for more in ("", *(f"-{n}" for n in range(99))))
    return next(name for name in map(target.with_name, names) if not name.exists())


def _not_saved(path: Path, why: str | None) -> GeluError:
    message = f"The settings cannot be saved in {visible_line(str(path))}: {why}."
    return GeluError("settings", message, "GELU_TUI_CONFIG may name another file.")

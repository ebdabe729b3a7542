"""Where gelu-tui keeps its files on this system; what lies at a path."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Literal

import platformdirs

from gelu_tui.core.errors import GeluError
from gelu_tui.core.safe_text import visible_line

_APP = "gelu-tui"


def cache_dir() -> Path:
    """The user's cache folder: converted models. It may be deleted at any time."""
    return Path(platformdirs.user_cache_dir(_APP, appauthor=False))


def data_dir() -> Path:
    """The user's data folder: saved runs; deleting it loses them."""
    return Path(platformdirs.user_data_dir(_APP, appauthor=False))


def config_dir() -> Path:
    """The user's settings folder."""
    return Path(platformdirs.user_config_dir(_APP, appauthor=False))


def state_dir() -> Path:
    """The user's state folder: what the app remembers of its last use."""
    return Path(platformdirs.user_state_dir(_APP, appauthor=False))


def log_dir() -> Path:
    """The user's log folder."""
    return Path(platformdirs.user_log_dir(_APP, appauthor=False))


def expanded(text: str) -> Path:
    """The path that a user means, who may begin it with `~`. Raises `GeluError`."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        user = visible_line(text.partition("/")[0][1:])[:100]
        why = f"there is no user '{user}'" if user else "the home folder is not known"
        message = f"'{visible_line(text)[:200]}' is no path here: {why}."
        raise GeluError("path", message, "Give the whole path, from / on.") from error


def variable_of(folder: Path) -> str:
    """The user's variable that says where one of these folders is; empty if none does."""
    for name in ("XDG_CACHE_HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        value = os.environ.get(name, "").strip()
        if value and folder.is_relative_to(value):
            return name
    return ""


def look(path: Path) -> Literal["folder", "file", "other"] | None:
    """What lies at a path; None if nothing does.

    Raises `OSError` where it may not be looked, which `Path.is_file()` and its kin tell apart from
    nothing in some versions of Python only.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):  # ValueError: no name has a NUL
        return None
    if stat.S_ISDIR(mode):
        return "folder"
    return "file" if stat.S_ISREG(mode) else "other"

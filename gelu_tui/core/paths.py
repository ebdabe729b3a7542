"""Where gelu-tui keeps its files on this system; what lies at a path."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Literal

import platformdirs

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


def log_dir() -> Path:
    """The user's log folder."""
    return Path(platformdirs.user_log_dir(_APP, appauthor=False))


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

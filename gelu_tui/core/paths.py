"""Where gelu-tui keeps its files on this system."""

from __future__ import annotations

from pathlib import Path

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

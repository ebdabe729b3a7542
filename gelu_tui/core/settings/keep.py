"""Keeping the settings that the app has at present as the user's defaults."""

from __future__ import annotations

import contextlib
from collections.abc import Collection
from pathlib import Path

from msgspec.structs import replace

from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.models.names import read_name
from gelu_tui.core.settings.edit import save_settings
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.core.settings.user_file import PREFIX, Settings, load_settings
from gelu_tui.core.settings.validation import check, shown

# What can be changed in the app; the theme is written as soon as it is chosen.
_KEPT = (*RunSettings.__struct_fields__, "token_style", "scroll")


# Which a run has settled: whether its model has a chat template, the dtype that it was given.
_SETTLED = ("chat", "dtype", "seed")


def settled_by_run(choices: RunSettings, run: RunSettings | None) -> set[str]:
    """Return the settings that nobody chose: they came with a saved run, which had settled them."""
    if run is None:
        return set()
    return {name for name in _SETTLED if getattr(choices, name) == getattr(run, name)}


def keep_as_defaults(
    settings: Settings, without: Collection[str] = ()
) -> tuple[str, ErrorInfo | None]:
    """Write what differs from the user's file into it; comments and all else there stay.

    The settings `without` stay as the file has them.

    Returns what was done, in a sentence, and what was wrong with the file. Raises `GeluError` if
    nothing could be written, `UsageError` for settings that no start could use.
    """
    check(settings)
    if settings.engine is None:  # which may be on another machine
        with contextlib.suppress(GeluError):
            # A folder is named as from here; the next start may be elsewhere.
            settings = replace(settings, model=read_name(settings.model).id)
    before = load_settings(environ={})
    changed = {
        name: value
        for name in _KEPT
        if name not in without
        and (value := getattr(settings, name)) != getattr(before.settings, name)
    }
    file = _short(before.path)
    if not changed:
        return f"These are your defaults already; {file} stays as it is.", None
    problem = save_settings(changed)
    variables = [
        f"{PREFIX}{name.upper()}" for name in changed if name in load_settings().environment
    ]
    said = f"Kept as your defaults in {file}: {', '.join(changed)}."
    if variables:
        said += f" Still set, and read before the file: {', '.join(variables)}."
    return said, problem


def other_functions_at_start(choices: RunSettings) -> str:
    """Return what gives the app's next start other functions than the chosen; empty if nothing.

    It is the name of the file or of the environment variable in which the user has said so.
    """
    file = load_settings()
    if "activations" not in file.decided or file.settings.activations == choices.activations:
        return ""
    variable = f"{PREFIX}ACTIVATIONS"
    return variable if "activations" in file.environment else _short(file.path)


def _short(path: Path) -> str:
    home = Path.home()
    return f"~/{shown(path.relative_to(home))}" if path.is_relative_to(home) else shown(path)

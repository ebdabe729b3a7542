"""`gelu-tui settings`."""

from __future__ import annotations

import click

from gelu_tui.cli import options as o
from gelu_tui.core.errors import ErrorInfo, UsageError
from gelu_tui.core.safe_text import visible_line
from gelu_tui.core.settings.user_file import SettingsFile, load_settings, settings_path


def show_settings(shown: str | None) -> int:
    """Print the effective settings, or `defaults`, `path` or `check`; returns the exit code."""
    if shown == "path":
        click.echo(bytes(settings_path()))
        return o.DONE
    if shown == "defaults":
        from gelu_tui.core.settings.toml import default_toml
        from gelu_tui.tui.keys.actions import ACTIONS

        actions = ((action.name, action.keys, action.help) for action in ACTIONS)
        click.echo(default_toml(actions).encode(), nl=False)
        return o.DONE
    file = load_settings()
    problems = (*file.problems, *theme_problem(file), *_key_problems(file))
    if shown != "check":
        from gelu_tui.core.settings.toml import effective_toml

        click.echo(effective_toml(file).encode(), nl=False)
    for problem in problems:
        o.complain(problem)
    return o.FAILED if shown == "check" and problems else o.DONE


def theme_problem(file: SettingsFile) -> tuple[ErrorInfo, ...]:
    """The sentence about a theme in the settings file that does not exist."""
    from gelu_tui.tui.themes import check_theme

    try:
        check_theme(file.settings.theme)
    except UsageError as error:
        where = visible_line(str(file.path))
        message = f"In {where}, theme is wrong: {error.info.message}"
        return (ErrorInfo("settings", message, error.info.hint),)
    return ()


def _key_problems(file: SettingsFile) -> tuple[ErrorInfo, ...]:
    from gelu_tui.tui.keys.actions import ACTIONS
    from gelu_tui.tui.keys.keymap import keymap

    return keymap(file.settings.keys, ACTIONS)[1]

"""`gelu-tui settings`."""

from __future__ import annotations

import click

from gelu_tui.cli import options as o
from gelu_tui.core.errors import ErrorInfo, UsageError
from gelu_tui.core.safe_text import visible_line
from gelu_tui.core.settings.user_file import SettingsFile, load_settings, settings_path


@click.command("settings", short_help="Show the settings in force and their file.")
@click.option("--defaults", "shown", flag_value="defaults", help="Every setting and key explained.")
@click.option("--path", "shown", flag_value="path", help="Only where the file is.")
@click.option("--check", "shown", flag_value="check", help="Exit with 1 if something is wrong.")
def settings_command(shown: str | None) -> int:
    """Show where the settings file is and the settings in force, as commented TOML.

    The command line comes first, then the environment, the file and the defaults. The variable of
    a setting is its name with GELU_TUI_ in front, e.g. GELU_TUI_MAX_TOKENS. GELU_TUI_CONFIG names
    another file.
    """
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
    from gelu_tui.core.settings.remembered import as_remembered
    from gelu_tui.tui.keys.actions import ACTIONS
    from gelu_tui.tui.keys.keymap import keymap

    begun, left_out = as_remembered(file.settings, file.decided)
    problems = (
        *file.problems,
        *_together_problem(file),
        *theme_problem(file),
        *keymap(file.settings.keys, ACTIONS)[1],
        *((left_out,) if left_out else ()),
    )
    if shown != "check":
        from gelu_tui.core.settings.toml import effective_toml

        click.echo(effective_toml(file).encode(), nl=False)
        if begun != file.settings:
            functions = visible_line(", ".join(begun.activations))
            click.echo(
                f"\n# The app begins with the functions of its last use: {functions}".encode()
            )
    for problem in problems:
        o.complain(problem)
    return o.FAILED if shown == "check" and problems else o.DONE


def _together_problem(file: SettingsFile) -> tuple[ErrorInfo, ...]:
    """Return the error about settings that are right one by one, but not together."""
    from gelu_tui.core.settings.validation import check

    try:
        check(file.settings.of_run())
    except UsageError as error:
        return (error.info,)
    return ()


def theme_problem(file: SettingsFile) -> tuple[ErrorInfo, ...]:
    """Return the error about a theme in the settings file that does not exist, if so."""
    from gelu_tui.tui.themes import check_theme

    try:
        check_theme(file.settings.theme)
    except UsageError as error:
        where = visible_line(str(file.path))
        message = f"In {where}, theme is wrong: {error.info.message}"
        return (ErrorInfo("settings", message, error.info.hint),)
    return ()

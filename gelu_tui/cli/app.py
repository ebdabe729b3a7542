"""`gelu-tui app`, which is also what opens without a command."""

from __future__ import annotations

import gc
import io
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click
from msgspec.structs import replace

from gelu_tui.cli import options as o
from gelu_tui.cli.interrupts import EndsAtOnce
from gelu_tui.cli.settings import theme_problem
from gelu_tui.core.errors import ErrorInfo, UsageError
from gelu_tui.core.protocol.requests import compare_command
from gelu_tui.core.runs.document import ComparisonDocument
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.core.settings.user_file import Settings, SettingsFile

if TYPE_CHECKING:
    from gelu_tui.sweep.plan import Plan
    from gelu_tui.sweep.store import SweepStore
    from gelu_tui.tui.lab.text_scoring import ShownText

_WITHOUT_A_SCREEN = ("dumb", "unknown")  # what Rich, which draws for Textual, takes for such
_ANY_PROMPT = "x"  # the app's own prompt is typed later; everything else is checked now


@click.command("app", short_help="Open the app (the default).")
@o.prompt_argument(required=False)
@o.options_of(RunSettings)
@o.app_options
@click.pass_obj
def app_command(file: SettingsFile, /, prompt: str | None, **options: Any) -> int:
    """Open the app (the default); a PROMPT given here runs at once."""
    from gelu_tui.core.settings.remembered import as_remembered

    decided = file.decided | {name for name in options if o.was_given(name)}
    settings, problem = as_remembered(o.in_force(file, options), decided)
    return open_app(prompt, settings, file, problems=(problem,) if problem else ())


def open_app(
    prompt: str | None,
    settings: Settings,
    file: SettingsFile,
    saved: ComparisonDocument | None = None,
    number: int | None = None,
    problems: Iterable[ErrorInfo] = (),
    sweep: Plan | SweepStore | None = None,
    text: ShownText | None = None,
) -> int:
    """Run the app, which shows the problems of `file` and `problems`, and return its exit code.

    `saved` is a comparison to open with, `number` its id in the history; `sweep` is one to run, or
    to look at, `text` one to score or to look at. Raises `UsageError` for wrong settings.
    """
    if not _is_served():
        _check_terminal()
    compare_command(_ANY_PROMPT if prompt is None else prompt, settings.of_run())
    export_no_color(settings.color)
    # Textual reads and draws UTF-8 whatever the locale says.
    if isinstance(sys.__stderr__, io.TextIOWrapper):
        sys.__stderr__.reconfigure(encoding="utf-8", errors="replace")
    # After a drawing Textual waits up to two frames for what changed meanwhile, and one key may
    # change two things: at its own 60 that is half of a key's 50 ms. Textual reads it on import.
    os.environ.setdefault("TEXTUAL_FPS", "240")
    gc.disable()  # while there is no frame yet: start-up makes little garbage; the app enables it
    with EndsAtOnce():
        from gelu_tui.tui.app import run_app
        from gelu_tui.tui.themes import check_theme

    wrong_theme: tuple[ErrorInfo, ...] = ()
    if settings.theme == file.settings.theme and (wrong_theme := theme_problem(file)):
        settings = replace(settings, theme=None)
    check_theme(settings.theme)
    warnings = (*file.problems, *wrong_theme, *problems)
    return run_app(settings, prompt, warnings, saved, number, sweep, text)


def export_no_color(color: str) -> None:
    """Set or remove NO_COLOR as `color` says: Textual treats even an empty one as set."""
    without = o.no_color(color)
    os.environ.pop("NO_COLOR", None)
    if without:
        os.environ["NO_COLOR"] = "1"


def _is_served() -> bool:
    """Whether a server, such as textual-serve, shows the app in a browser and has started it."""
    return os.environ.get("TEXTUAL_DRIVER", "").endswith(":WebDriver")


def _check_terminal() -> None:
    """Raise `UsageError` where there is no terminal, or none with a screen."""
    # Textual draws on stderr.
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        message = "The app needs a terminal on stdin, stdout and stderr."
        hint = "For scripts and pipes use `gelu-tui run PROMPT`."
        raise UsageError(message, hint, kind="no_terminal")
    if (kind := os.environ.get("TERM", "")).lower() in _WITHOUT_A_SCREEN:
        message = f"The app needs a terminal with a screen, and TERM is '{kind}'."
        hint = "If yours has one, set TERM=xterm-256color; else use `gelu-tui run PROMPT`."
        raise UsageError(message, hint, kind="no_terminal")

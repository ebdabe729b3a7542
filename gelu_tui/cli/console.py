"""Text reports on stdout, with the user's colour choice."""

from __future__ import annotations

import re

import click
from rich.console import Console, RenderableType

from gelu_tui.cli.options import no_color

_NARROWEST = 20
_PADDING = re.compile(r" +$", re.MULTILINE)


def print_report(report: RenderableType, color: str) -> None:
    """Print a report on stdout.

    Without markup, emoji codes and highlighting, because it holds text of models; without the
    blanks that fill lines up, because a reader of a pipe may be a program.
    """
    console = Console(
        force_terminal=True if color == "always" else None,
        color_system=None if color == "never" else "auto",
        no_color=no_color(color),
        highlight=False,
        markup=False,
        emoji=False,
    )
    # Some programs that start others say COLUMNS=0, and then nothing at all would be printed.
    console.width = max(console.width, _NARROWEST)
    with console.capture() as capture:
        console.print(report)
    click.echo(_PADDING.sub("", capture.get()), nl=False, color=True)

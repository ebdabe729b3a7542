"""Rich consoles with the user's colour choice."""

from __future__ import annotations

from rich.console import Console

from gelu_tui.cli.options import no_color


def output_console(color: str) -> Console:
    """stdout; without markup, emoji codes and highlighting, because it prints text of models."""
    return Console(
        force_terminal=True if color == "always" else None,
        no_color=True if no_color(color) else None,
        highlight=False,
        markup=False,
        emoji=False,
    )

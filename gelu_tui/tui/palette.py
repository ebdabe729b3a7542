"""The command palette, as a screen that one burst of keys opens and closes only once."""

from __future__ import annotations

import contextlib

from textual.command import CommandPalette

from gelu_tui.tui.widgets.closes_once import ClosesOnce


class Palette(ClosesOnce, CommandPalette):
    """The command palette."""

    def _action_command_list(self, action: str) -> None:
        with contextlib.suppress(KeyError):  # Textual's, for a page of a list without rows yet
            super()._action_command_list(action)

"""The field for a name or an own formula."""

from __future__ import annotations

from textual.widgets import Input

from gelu_tui.core.functions.expressions import MAX_LENGTH
from gelu_tui.core.safe_text import visible_line
from gelu_tui.tui.widgets.keys_in_turn import KeysInTurn

_MOST = MAX_LENGTH + 100  # name, sign and blanks; enough to be told that a formula is too long


class FormulaField(Input, KeysInTurn):
    """One line of text, in which nothing pasted can act on the terminal."""

    def validate_value(self, value: str) -> str:
        """Show what acts, and cut a pasted novel short."""
        return visible_line(value[:_MOST])

"""The field for a name or an own formula."""

from __future__ import annotations

from textual.events import Key
from textual.widgets import Input

from gelu_tui.core.expressions import MAX_LENGTH
from gelu_tui.core.safe_text import visible_line

_MOST = MAX_LENGTH + 100  # name, sign and blanks; enough to be told that a formula is too long


class FormulaField(Input):
    """One line of text, in which nothing pasted can act on the terminal."""

    def validate_value(self, value: str) -> str:
        """Show what acts, and cut a pasted novel short."""
        return visible_line(value[:_MOST])

    async def _on_key(self, event: Key) -> None:
        # Bindings run in the app's turn, and letters of the same burst would overtake them.
        for binding in self._bindings.key_to_bindings.get(event.key, ()):
            event.stop()
            event.prevent_default()
            await self.run_action(binding.action)
            return
        await super()._on_key(event)

"""Text fields in which keys act in the order in which they were typed."""

from __future__ import annotations

from textual.events import Key
from textual.widget import Widget
from textual.widgets import Input


class KeysInTurn(Widget):
    """The last base of a text field (the first sets the style): its bindings run in its own turn.

    Textual runs bindings in the app's turn, when the key has passed all parents. Letters that came
    in the same packet, as over a slow line, would overtake them: `abc`, three Backspaces and `xyz`
    would become `abc`.
    """

    async def _on_key(self, event: Key) -> None:
        for binding in self._bindings.key_to_bindings.get(event.key, ()):
            if await self.app.run_action(binding.action, self):
                event.stop()
                event.prevent_default()
                return


class TextField(Input, KeysInTurn):
    """A field of one line."""

"""A question within the screen instead of over it."""

from __future__ import annotations

from collections.abc import Callable

from textual import events
from textual.content import Content
from textual.widgets import Static

from gelu_tui.core.safe_text import visible_line


class Question(Static, can_focus=True):
    """One question in place of the keys: `y` confirms, anything else cancels."""

    def ask(self, sentence: str, then: Callable[[], None]) -> None:
        """Show the question and take the focus, until it is answered; `then` is what y does."""
        self._then = then
        if not self.has_focus:
            self._before = self.screen.focused
        self.update(Content.styled(visible_line(sentence), "bold"))
        self.display = True
        self.focus()

    def on_key(self, event: events.Key) -> None:
        event.stop()
        event.prevent_default()
        self._answer(yes=event.key in ("y", "Y"))

    def on_blur(self) -> None:
        self._answer(yes=False)

    def _answer(self, *, yes: bool) -> None:
        if not self.display:
            return
        if self._before is not None and self.screen.focused in (None, self):
            self._before.focus()
        self.display = False
        if yes:
            self._then()

"""A question within the screen instead of over it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from textual import events
from textual.content import Content
from textual.message import Message
from textual.widgets import Static

from gelu_tui.core.safe_text import visible_line


class Question(Static, can_focus=True):
    """One question in place of the keys: `y` confirms, anything else cancels."""

    @dataclass
    class Answered(Message):
        """`then` is what to do; None if the user declined."""

        then: Callable[[], None] | None

    def ask(self, sentence: str, then: Callable[[], None]) -> None:
        """Show the question and take the focus."""
        self._then = then
        self.update(Content.styled(visible_line(sentence), "bold"))
        self.display = True
        self.focus()

    def on_key(self, event: events.Key) -> None:
        event.stop()
        event.prevent_default()
        self._answer(self._then if event.key in ("y", "Y") else None)

    def on_blur(self) -> None:
        self._answer(None)

    def _answer(self, then: Callable[[], None] | None) -> None:
        if self.display:
            self.display = False
            self.post_message(self.Answered(then))

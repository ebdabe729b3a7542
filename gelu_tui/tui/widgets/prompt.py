"""The prompt: Enter runs, pasted line breaks stay, hostile characters show as glyphs."""

from __future__ import annotations

import unicodedata

from rich.text import Text
from textual.events import Key
from textual.message import Message
from textual.widgets import TextArea

from gelu_tui.core.safe_text import visible


class Prompt(TextArea):
    """One to three rows; a TextArea whose Enter submits."""

    class Submitted(Message):
        """The user pressed Enter."""

    def __init__(self, text: str = "") -> None:
        super().__init__(
            text,
            id="prompt",
            soft_wrap=True,
            tab_behavior="focus",
            highlight_cursor_line=False,
            placeholder="Type a prompt. Enter runs it, Ctrl+N breaks the line.",
            compact=True,
        )

    def on_mount(self) -> None:
        """Go on where the text ends, with a steady cursor: a blinking one costs a slow line."""
        self.cursor_blink = False
        self.move_cursor(self.document.end)

    def get_line(self, line_index: int) -> Text:
        """One line, character for character, with those that act on a terminal replaced."""
        line = "".join(_one_glyph(char) for char in self.document.get_line(line_index))
        return Text(line, end="", no_wrap=True)

    def on_key(self, event: Key) -> None:
        """Run or break the line.

        Not as bindings: those run in the app's turn, and could overtake letters that were typed
        before and still wait in this widget's queue.
        """
        match event.key:
            case "enter":
                self.post_message(self.Submitted())
            case "ctrl+n" | "shift+enter":
                self.replace("\n", *self.selection)
            case _:
                return
        event.stop()
        event.prevent_default()


def _one_glyph(char: str) -> str:
    # The editor counts characters, so a glyph of several is cut to the replacement character.
    shown = visible(char)
    if shown == char or len(shown) == 1:
        return shown
    return "\ufffd" if unicodedata.category(char) != "Cf" else "¤"

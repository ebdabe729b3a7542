"""The prompt: Enter runs, pasted line breaks stay, hostile characters show as glyphs."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding
from textual.events import Key, Paste
from textual.message import Message
from textual.widgets import TextArea

from gelu_tui.core.safe_text import visible
from gelu_tui.tui.widgets.kept_lines import KeptLines
from gelu_tui.tui.widgets.keys_in_turn import KeysInTurn

_LONG = 20_000  # characters; a wrapping editor takes a second for a few hundred thousand


# F6 and F7 open screens here, and Ctrl+Z suspends the app.
_NOT_HERE = ("f6", "f7", "ctrl+u,super+backspace", "ctrl+z,super+z")
# One character for most terminals; those that tell keys apart name the key.
_UNDO = ("ctrl+underscore", "ctrl+slash", "ctrl+minus", "ctrl+shift+minus", "ctrl+shift+underscore")


class Prompt(KeptLines, TextArea, KeysInTurn, inherit_bindings=False):
    """A few rows; a text area whose Enter submits."""

    BINDINGS: ClassVar = [
        *(
            binding
            for binding in TextArea.BINDINGS
            if isinstance(binding, Binding) and binding.key not in _NOT_HERE
        ),
        Binding("ctrl+u,super+backspace", "clear", "Clear", show=False),
        Binding("ctrl+s", "select_all", "Select all", show=False),
        Binding(",".join(_UNDO), "undo", "Undo", show=False),
    ]

    @dataclass
    class Submitted(Message):
        """The user pressed Enter; more may have been typed since."""

        prompt: str

    def __init__(self, text: str = "") -> None:
        super().__init__(
            text,
            id="prompt",
            highlight_cursor_line=False,
            placeholder="Type a prompt. Enter runs it, Ctrl+N breaks the line.",
            compact=True,
        )
        self.recent: list[str] = []  # prompts that were run, the newest last
        self._at: int | None = None  # place in `recent` of the prompt in the field
        self._draft = ""
        self._long: dict[str, str] = {}

    @property
    def prompt(self) -> str:
        """The whole prompt, with the long texts in place of their names."""
        if not self._long:
            return self.text
        # In one pass: the name of a long text inside another one is part of that one.
        names = "|".join(map(re.escape, self._long))
        return re.sub(names, lambda found: self._long[found[0]], self.text)

    def remember(self, prompt: str) -> None:
        """Add a prompt, which is run, to those that Up brings back."""
        if prompt in self.recent:
            self.recent.remove(prompt)
        self.recent.append(prompt)
        self._at = None

    def recall(self, earlier: list[str]) -> None:
        """Add prompts of earlier sessions, the newest first, for the Up key."""
        new = [prompt for prompt in reversed(earlier) if prompt not in self.recent]
        self.recent[:0] = new
        if self._at is not None:
            self._at += len(new)

    def take(self, prompt: str) -> None:
        """Replace the text; an undo brings the old one back."""
        self.replace(self._by_name(prompt), self.document.start, self.document.end)
        self.move_cursor(self.document.end)

    def action_clear(self) -> None:
        """Empty the field; an undo brings the text back."""
        self.take("")

    def _by_name(self, text: str) -> str:
        """The text, or a name for it if the field would take seconds to show it."""
        if len(text) <= _LONG:
            return text
        known = (name for name, long in self._long.items() if long == text)
        name = next(known, f"[text {len(self._long) + 1}: {len(text):,} characters]")
        self._long[name] = text
        return name

    async def _on_paste(self, event: Paste) -> None:
        # Textual's own handler of this name must not see the event.
        event.prevent_default()
        event.stop()
        # Most terminals send line breaks as carriage returns.
        text = event.text.replace("\r\n", "\n").replace("\r", "\n")
        self.replace(self._by_name(text), *self.selection)
        self.move_cursor(self.selection.end)

    def _step(self, by: int) -> bool:
        """Show the previous or the next prompt; return whether there is one."""
        newest = len(self.recent)
        at = (newest if self._at is None else self._at) + by
        while 0 <= at < newest and self.recent[at] == self.prompt:
            at += by  # it is in the field already
        if not 0 <= at <= newest:
            return False
        if self._at is None:
            self._draft = self.prompt
        self._at = at if at < newest else None
        self.take(self._draft if self._at is None else self.recent[self._at])
        return True

    def on_mount(self) -> None:
        self.cursor_blink = False  # redrawing a blinking cursor costs a slow line
        self.move_cursor(self.document.end)

    def get_line(self, line_index: int) -> Text:
        """One line, character for character, with those that act on a terminal replaced."""
        line = self.document.get_line(line_index)
        if visible(line) != line:
            line = "".join(map(_one_glyph, line))
        return Text(line, end="", no_wrap=True)

    def on_key(self, event: Key) -> None:
        # Not as bindings: those run in the app's turn, and could overtake letters that were typed
        # before and are still in this widget's queue.
        row = self.wrapped_document.location_to_offset(self.cursor_location).y
        match event.key:
            case "enter":
                self.post_message(self.Submitted(self.prompt))
            case "ctrl+n" | "shift+enter":
                self.replace("\n", *self.selection)
            case "up" if row == 0 and self._step(-1):
                pass
            case "down" if row == self.wrapped_document.height - 1 and self._step(1):
                pass
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

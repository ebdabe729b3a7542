"""A screen's line of keys, in which a click on a key acts like the key."""

from __future__ import annotations

import re

from textual.events import Click
from textual.widgets import Static

_PART = re.compile(r"(?:^| · )(\S.*?)(?= · |$)")
_NAMES = {"Enter": "enter", "Esc": "escape", "Tab": "tab", "/": "slash", "PgDn": "pagedown"}
_NAMES |= {"→": "right"}


def key_at(line: str, column: int) -> str | None:
    """The key of the part of `line` at this column, as Textual names it: `n` of `n next stream`."""
    for part in _PART.finditer(line):
        if part.start(1) <= column < part.end(1):
            word = part[1].split()[0].rstrip(",")
            if len(word) == 1 and word.isalnum():
                return word
            is_function_key = word[:1] == "F" and word[1:].isdigit()
            return word.lower() if is_function_key else _NAMES.get(word)
    return None


class KeyHints(Static):
    """One row of `KEY what it does`, the parts separated by ` · `."""

    def on_click(self, event: Click) -> None:
        at = event.get_content_offset(self)
        if at is not None and at.y == 0 and (key := key_at(str(self.content), at.x)):
            event.stop()
            self.app.simulate_key(key)

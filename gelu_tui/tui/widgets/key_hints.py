"""A screen's line of keys, in which a click on a key does what the key does."""

from __future__ import annotations

from textual.events import Click
from textual.widgets import Static

SEPARATOR = " · "
_NAMES = {
    "Enter": "enter",
    "Esc": "escape",
    "Tab": "tab",
    "/": "slash",
    "PgDn": "pagedown",
    "→": "right",
}


def key_at(line: str, column: int) -> str | None:
    """The key of the part of `line` at this column, as Textual names it: `n` of `n next stream`."""
    end = 0
    for part in line.split(SEPARATOR):
        end += len(part)
        if column < end:
            word = part.split()[0].rstrip(",") if part.split() else ""
            if len(word) == 1 and word.isalnum():
                return word
            is_function_key = word[:1] == "F" and word[1:].isdigit()
            return word.lower() if is_function_key else _NAMES.get(word)
        end += len(SEPARATOR)
        if column < end:
            return None
    return None


class KeyHints(Static):
    """One row of `KEY what it does`, the parts separated by ` · `."""

    def on_click(self, event: Click) -> None:
        """Do what the key would."""
        at = event.get_content_offset(self)
        if at is not None and at.y == 0 and (key := key_at(str(self.content), at.x)):
            event.stop()
            self.app.simulate_key(key)

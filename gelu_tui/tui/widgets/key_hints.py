"""A screen's line of keys, in which a click on a key acts like the key."""

from __future__ import annotations

import re

from rich.cells import cell_len
from textual.events import Click
from textual.visual import VisualType
from textual.widgets import Static

_BETWEEN = " · "
_HELP = "F1 help"
_PART = re.compile(r"(?:^| · )(\S.*?)(?= · |$)")
_NAMES = {"Enter": "enter", "Esc": "escape", "Tab": "tab", "/": "slash", "PgDn": "pagedown"}
_NAMES |= {"→": "right", "Space": "space", ".": "full_stop"}


def key_at(line: str, column: int) -> str | None:
    """The key of the part of `line` at this column, as Textual names it: `n` of `n next stream`."""
    for part in _PART.finditer(line):
        if part.start(1) <= column < part.end(1):
            word = part[1].split()[0].rstrip(",")
            if len(word) == 1 and word.isalnum():
                return word
            if len(word) == 2 and word[0] == "^":
                return f"ctrl+{word[1]}"
            is_function_key = word[:1] == "F" and word[1:].isdigit()
            return word.lower() if is_function_key else _NAMES.get(word)
    return None


def fitting(line: str, width: int) -> str:
    """The line without what at its end does not fit `width` cells; its first part and Help stay."""
    parts = line.split(_BETWEEN)
    last = [parts.pop()] if parts[-1] == _HELP else []
    while len(parts) > 1 and cell_len(_BETWEEN.join(parts + last)) > width:
        parts.pop()
    return _BETWEEN.join(parts + last)


class KeyHints(Static):
    """One row of `KEY what it does`, the parts separated by ` · `; of plain text only what fits."""

    _line: VisualType | None = None  # the whole of it

    def update(self, content: VisualType = "", *, layout: bool = True) -> None:
        self._line = content
        width = self.content_size.width
        if isinstance(content, str) and width:
            content = fitting(content, width)
        super().update(content, layout=layout)

    def on_resize(self) -> None:
        self.update(self.content if self._line is None else self._line, layout=False)

    def on_click(self, event: Click) -> None:
        at = event.get_content_offset(self)
        if at is not None and at.y == 0 and (key := key_at(str(self.content), at.x)):
            event.stop()
            self.app.simulate_key(key)

"""One line: what the engine has loaded or is doing on the left, the totals on the right."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static


class StatusLine(Static):
    """Two texts; the left one gives way."""

    def __init__(self) -> None:
        super().__init__(id="status")
        self._parts = ("", "")

    def show(self, left: str, right: str = "") -> None:
        """Write both texts; they must be safe to show."""
        if (left, right) != self._parts:
            self._parts = (left, right)
            self._write()

    def on_resize(self) -> None:
        """Keep the right text at the right."""
        self._write()

    def _write(self) -> None:
        left, right = self._parts
        width = self.content_size.width
        room = width - Content(right).cell_length - (2 if right else 0)
        start = Content(left).truncate(max(0, room), ellipsis=True)
        gap = max(0, width - start.cell_length - Content(right).cell_length)
        self.update(Content.assemble(start, " " * gap, (right, "bold")), layout=False)

"""One line: what the engine has loaded or is doing on the left, the totals on the right."""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size

from gelu_tui.tui.widgets.plain_rows import PlainRows


class StatusLine(PlainRows):
    """Two texts; the left one gives way."""

    def __init__(self) -> None:
        super().__init__(id="status")
        self._texts = ("", "")

    def show(self, left: str, right: str = "") -> None:
        """Write both texts; they must be safe to show."""
        if (left, right) != self._texts:
            self._texts = (left, right)
            self._write()

    def on_resize(self) -> None:
        """Keep the right text at the right."""
        self._write()

    def _write(self) -> None:
        left, right = self._texts
        width = self.content_size.width
        room = max(0, width - cell_len(right) - (2 if right else 0))
        if cell_len(left) > room:
            left = set_cell_size(left, max(0, room - 1)) + "…"[:room]
        gap = " " * max(0, width - cell_len(left) - cell_len(right))
        self.write([[(left, ""), (gap, ""), (right, "total")]])

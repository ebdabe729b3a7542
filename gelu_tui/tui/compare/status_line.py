"""One line: what the engine has loaded or is doing on the left, the totals on the right."""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size

from gelu_tui.tui.compare.plain_rows import PlainRows

_BETWEEN = " · "
_SAYS_NOTHING = 4  # cells of a part that is cut off


class StatusLine(PlainRows):
    """Two texts of parts; where room is short the last parts give way."""

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
        left, right = fitted(*self._texts, self.content_size.width)
        width = self.content_size.width
        gap = " " * max(0, width - cell_len(left) - cell_len(right))
        self.write([[(left, ""), (gap, ""), (right, "total")]])


def fitted(left: str, right: str, width: int) -> tuple[str, str]:
    """Both texts with two cells between them.

    The last part of the left one is the device, which says least; how tokens are drawn, before it,
    matters more than memory and time at the right.
    """
    needed = left.rpartition(_BETWEEN)[0] or left
    while _BETWEEN in right and cell_len(needed) + 2 + cell_len(right) > width:
        right = right.rpartition(_BETWEEN)[0]
    room = max(0, width - cell_len(right) - (2 if right else 0))
    if cell_len(left) > room:
        gone = room - cell_len(needed) < len(_BETWEEN) + _SAYS_NOTHING
        if gone and cell_len(needed) <= room:
            left = needed
        else:
            left = set_cell_size(left, max(0, room - 1)) + "…"[:room]
    return left, right

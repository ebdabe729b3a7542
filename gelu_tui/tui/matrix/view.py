"""A matrix of first divergent tokens with a cursor: each row has one stream as the reference."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import zip_longest
from typing import ClassVar

from rich.cells import cell_len
from textual.binding import Binding
from textual.content import Content
from textual.events import Click, Resize
from textual.geometry import Region
from textual.message import Message
from textual.widgets import Static

from gelu_tui.core.comparison.state import Comparison, Perspective
from gelu_tui.core.safe_text import visible_line

_CELL = (4, 10)  # cells of a column, the gap included
_NAME = (3, 28)
_SPELLED_FROM = 6  # cells in which a part of a name can be read


class MatrixView(Static, can_focus=True):
    """The matrix, as wide as there is room; names are written downwards in the column heads."""

    BINDINGS: ClassVar = [
        Binding("up", "move(-1, 0)", "Up", show=False),
        Binding("down", "move(1, 0)", "Down", show=False),
        Binding("left", "move(0, -1)", "Left", show=False),
        Binding("right", "move(0, 1)", "Right", show=False),
        Binding("home", "move(0, -99)", "First column", show=False),
        Binding("end", "move(0, 99)", "Last column", show=False),
    ]

    class Moved(Message):
        """The cursor is on another cell."""

    class Opened(Message):
        """The cell under the cursor was clicked once more."""

    def __init__(self, comparison: Comparison, reference: int) -> None:
        super().__init__(markup=False)
        self.comparison = comparison
        self.reference = reference
        # Each looks only at tokens that are new when it is updated.
        self.perspectives = [Perspective(comparison, i) for i in range(len(comparison.streams))]
        others = [i for i in range(len(comparison.streams)) if i != reference]
        self.row, self.column = reference, others[0] if others else reference
        names = (_split(visible_line(stream.name)) for stream in comparison.streams)
        self._words = list(zip_longest(*names, fillvalue=""))  # of the heads, row by row

    def action_move(self, down: int, right: int) -> None:
        self.move_to(self.row + down, self.column + right)

    def move_to(self, row: int, column: int) -> None:
        """Put the cursor on the cell nearest to this place."""
        last = len(self.perspectives) - 1
        self.row, self.column = max(0, min(row, last)), max(0, min(column, last))
        self.draw()
        self.post_message(self.Moved())

    @property
    def cursor_region(self) -> Region:
        """The row of the cursor; the first one with the head above it."""
        y = self._head_rows + self.row
        return (
            Region(0, y, self.size.width, 1) if self.row else Region(0, 0, self.size.width, y + 1)
        )

    def on_resize(self, event: Resize) -> None:
        self.draw()

    def on_click(self, event: Click) -> None:
        name_cells, cell = self._widths
        row, column = event.y - self._head_rows, (event.x - name_cells) // cell
        last = len(self.perspectives) - 1
        if not (0 <= row <= last and 0 <= column <= last):
            return
        opened = (row, column) == (self.row, self.column)
        self.move_to(row, column)
        if opened:
            self.post_message(self.Opened())

    # --- measures -----------------------------------------------------------------------------

    @property
    def _widths(self) -> tuple[int, int]:
        """Cells of the names on the left, and of each column."""
        count = len(self.perspectives)
        names = max(cell_len(visible_line(s.name)) for s in self.comparison.streams) + 4
        name = min(names, _NAME[1], max(_NAME[0], self.size.width // 4))
        cell = max(_CELL[0], min(_CELL[1], (self.size.width - name) // count))
        return max(_NAME[0], min(names, self.size.width - cell * count)), cell

    @property
    def _head_rows(self) -> int:
        return 1 + len(self._words) if self._widths[1] >= _SPELLED_FROM else 1

    # --- drawing ------------------------------------------------------------------------------

    def draw(self) -> None:
        """Show the present state of the streams."""
        if self.size.width:
            self.styles.height = self._head_rows + len(self.perspectives)
            self.update(self._matrix(), layout=False)

    def _matrix(self) -> Content:
        name_cells, cell = self._widths
        streams = range(len(self.perspectives))
        head = [[str(i + 1) for i in streams], *self._words][: self._head_rows]
        lines = [
            Content.assemble(
                " " * name_cells, *(self._in_column(word, i, cell) for i, word in enumerate(words))
            )
            for words in head
        ]
        for row in streams:
            reference = "R" if row == self.reference else " "
            name = visible_line(self.comparison.streams[row].name)
            spelled = f" {name}" if name_cells >= _SPELLED_FROM else ""
            style = "bold" if row == self.row else ""
            label = Content.styled(f"{row + 1}{reference}{spelled}", style)
            label = label.truncate(name_cells, ellipsis=True, pad=True)
            lines.append(Content.assemble(label, *(self._cell(row, i, cell) for i in streams)))
        return Content("\n").join(lines)

    def _in_column(self, word: str, column: int, cells: int) -> Content:
        style = "bold" if column == self.column else ""
        shown = Content.styled(word, style).truncate(cells - 1, ellipsis=True)
        return Content.assemble(shown.pad_left(cells - 1 - shown.cell_length), " ")

    def _cell(self, row: int, column: int, cells: int) -> Content:
        standing = self.perspectives[row].standing(column)
        match standing.relation:
            case "reference":
                text, style = "·", "dim"  # the stream itself
            case "diverged":
                text, style = _fitting(standing.tokens or 0, cells - 1), ""
            case "identical" | "same":
                # With the number of tokens only where it fits: the sentence below always has it.
                if len(standing.short) >= cells - 1:
                    standing = replace(standing, tokens=None)
                text, style = standing.short, "bold"
            case _:
                text, style = standing.short, "dim"
        left = " " * (cells - 1 - len(text))
        if (row, column) != (self.row, self.column):
            return Content.assemble(left, (text, style), " ")
        # The cursor is visible without colour too: its brackets fill the gaps.
        return Content.assemble(left[1:], (f"[{text}]"[-cells:], "bold reverse"))


def _split(name: str) -> list[str]:
    """A name in at most three parts, to be written one below the other."""
    function, *limits = re.split("(?=@)", name, maxsplit=1)
    parts = [part for part in function.split("_") if part] or [function]
    own = 3 - len(limits)
    return [*parts[: own - 1], *filter(None, ["_".join(parts[own - 1 :])]), *limits]


def _fitting(step: int, cells: int) -> str:
    """A step in at most this many cells, rounded if it must be."""
    forms = (str(step), f"{step / 1000:.1f}k", f"{step // 1000}k")
    return next((form for form in forms if len(form) < cells), forms[-1])

"""A matrix of first divergent tokens with a cursor: rows are seen from, columns are looked at."""

from __future__ import annotations

from dataclasses import replace
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

_REFERENCE = "R"
_CELL = (4, 10)  # cells of a column, the gap included
_NAME = (3, 28)
_PARTS = 3
_SPELLED_FROM = 6  # cells in which a part of a name can be read


class MatrixView(Static, can_focus=True):
    """The matrix itself, as wide as there is room; names are spelled down the columns."""

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
        self._parts = [_split(visible_line(stream.name)) for stream in comparison.streams]

    def action_move(self, down: int, right: int) -> None:
        self.move_to(self.row + down, self.column + right)

    def move_to(self, row: int, column: int) -> None:
        last = len(self.perspectives) - 1
        self.row, self.column = max(0, min(row, last)), max(0, min(column, last))
        self.draw()
        self.post_message(self.Moved())

    @property
    def cursor_region(self) -> Region:
        """The row of the cursor, with the head above the first one."""
        head = self._head_rows
        if self.row == 0:
            return Region(0, 0, self.size.width, head + 1)
        return Region(0, head + self.row, self.size.width, 1)

    def update_streams(self) -> None:
        """Take in what the streams have come to."""
        self.draw()

    def on_resize(self, event: Resize) -> None:
        self.draw()

    def on_click(self, event: Click) -> None:
        """Put the cursor there; a click on the cursor opens the fork."""
        name_cells, cell = self._widths
        row, column = event.y - self._head_rows, (event.x - name_cells) // cell
        last = len(self.perspectives) - 1
        if not (0 <= row <= last and 0 <= column <= last):
            return
        again = (row, column) == (self.row, self.column)
        self.move_to(row, column)
        if again:
            self.post_message(self.Opened())

    # --- measures -----------------------------------------------------------------------------

    @property
    def _widths(self) -> tuple[int, int]:
        """Cells of the names at the left, and of each column."""
        count = len(self.perspectives)
        names = max(cell_len(visible_line(s.name)) for s in self.comparison.streams) + 4
        name = min(names, _NAME[1], max(_NAME[0], self.size.width // 4))
        cell = max(_CELL[0], min(_CELL[1], (self.size.width - name) // count))
        return max(_NAME[0], min(names, self.size.width - cell * count)), cell

    @property
    def _head_rows(self) -> int:
        spelled = self._widths[1] >= _SPELLED_FROM
        return 1 + max(map(len, self._parts)) if spelled else 1

    # --- drawing ------------------------------------------------------------------------------

    def draw(self) -> None:
        if self.size.width:
            self.styles.height = self._head_rows + len(self.perspectives)
            self.update(self._matrix(), layout=False)

    def _matrix(self) -> Content:
        name_cells, cell = self._widths
        count = range(len(self.perspectives))
        numbers = (self._in_column(str(i + 1), i, cell) for i in count)
        lines = [Content.assemble(" " * name_cells, *numbers)]
        for part in range(self._head_rows - 1):
            words = (self._in_column(_part(self._parts[i], part), i, cell) for i in count)
            lines.append(Content.assemble(" " * name_cells, *words))
        for row in count:
            reference = _REFERENCE if row == self.reference else " "
            name = visible_line(self.comparison.streams[row].name)
            spelled = f" {name}" if name_cells >= _SPELLED_FROM else ""
            label = Content.styled(
                f"{row + 1}{reference}{spelled}", "bold" if row == self.row else ""
            ).truncate(name_cells, ellipsis=True, pad=True)
            lines.append(Content.assemble(label, *(self._cell(row, i, cell) for i in count)))
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
                # The number of tokens only where it fits whole: the sentence below has it anyway.
                if len(standing.short) >= cells - 1:
                    standing = replace(standing, tokens=None)
                text, style = standing.short, "bold"
            case _:
                text, style = standing.short, "dim"
        left = " " * (cells - 1 - len(text))
        if (row, column) != (self.row, self.column):
            return Content.assemble(left, (text, style), " ")
        # In brackets, so that it is seen without colour; they take the gaps.
        return Content.assemble(left[1:], (f"[{text}]"[-cells:], "bold reverse"))


def _split(name: str) -> list[str]:
    """A name in parts that stand one under the other."""
    parts = [part for part in name.split("_") if part] or [name]
    rest = "_".join(parts[_PARTS - 1 :])
    return [*parts[: _PARTS - 1], rest] if rest else parts


def _part(parts: list[str], row: int) -> str:
    return parts[row] if row < len(parts) else ""


def _fitting(step: int, cells: int) -> str:
    """A step in so many cells, rounded where it has to be."""
    forms = (str(step), f"{step / 1000:.1f}k", f"{step // 1000}k")
    return next((form for form in forms if len(form) < cells), forms[-1])

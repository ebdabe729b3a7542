"""Which rows of a token buffer are in view; only rows that are looked at are ever wrapped."""

from __future__ import annotations

from bisect import bisect_right

from gelu_tui.tui.text_view.token_buffer import TokenBuffer
from gelu_tui.tui.text_view.wrapping import Row, clusters

_JUMP = 4  # a followed tail scrolls by a fourth of the view at once


class Viewport:
    """A window of `width` x `height` cells over a buffer.

    Its place is the row at the top, by logical line and row within it, so that nothing above needs
    to be wrapped. While `follows`, it keeps to the end: until the user scrolls up, and again from
    when the end is in view. The tail is followed in jumps, because a pane that scrolls is sent to
    the terminal whole.
    """

    def __init__(self, buffer: TokenBuffer) -> None:
        self.buffer = buffer
        self.width = 1
        self.height = 0
        self.follows = True
        self._top = (0, 0)
        self._seen: tuple[object, ...] = ()
        self._rows: list[tuple[int, Row]] = []

    def resize(self, width: int, height: int) -> None:
        """Set the size; the row at the top stays there, and a followed end in view."""
        offset = self.offset
        self.width, self.height = width, height
        if self.follows:
            self.to_end()
        else:
            self._top = self.buffer.row_at(offset, width)

    # --- what is in view ----------------------------------------------------------------------

    @property
    def offset(self) -> int:
        """The first character of the row at the top."""
        line, row = self._top
        rows = self._line_rows(line)
        return self.buffer.lines[line].start + rows[min(row, len(rows) - 1)].start

    def rows(self) -> list[tuple[int, Row]]:
        """The rows in view, with the line of each; fewer than the height at the end."""
        buffer = self.buffer
        now = (self._top, buffer.length, buffer.epoch, len(buffer.lines), self.width, self.height)
        if now != self._seen:
            self._seen, self._rows = now, self._collect(self.height)
        return self._rows

    def row(self, y: int) -> tuple[int, Row] | None:
        """The row at `y`, and its line; None below the text."""
        rows = self.rows()
        return rows[y] if y < len(rows) else None

    def y_of(self, offset: int) -> int:
        """The row of the view that holds a character; -1 above the view, the height below it."""
        rows, lines = self.rows(), self.buffer.lines
        y = bisect_right(rows, offset, key=lambda row: lines[row[0]].start + row[1].start) - 1
        if y + 1 < len(rows) or not rows:
            return y
        line, row = rows[y]
        within = row.start + len(row.text)
        # The line feed belongs to the last row of its line.
        end = lines[line].start + within + (within == lines[line].length)
        return y if offset < end else self.height

    def bar(self) -> range:
        """The rows that a scroll bar's thumb covers, by characters; none if all is in view."""
        rows = self.rows()
        if not rows or (self._top == (0, 0) and self.at_end):
            return range(0)
        line, last = rows[-1]
        total = max(1, self.buffer.length)
        first = self.offset
        end = self.buffer.lines[line].start + last.start + len(last.text)
        length = max(1, min(self.height, round(self.height * (end - first) / total)))
        room = self.height - length
        start = room if self.at_end else min(room, int(self.height * first / total))
        return range(start, start + length)

    def bar_row(self, offset: int) -> int:
        """The row of a scroll bar that stands for a character."""
        return min(self.height - 1, int(self.height * offset / max(1, self.buffer.length)))

    @property
    def at_end(self) -> bool:
        """Whether the last row is in view."""
        return len(self._collect(self.height + 1)) <= self.height

    # --- moving -------------------------------------------------------------------------------

    def scroll(self, count: int) -> bool:
        """Move by rows, not beyond either end; whether anything moved."""
        before = self._top
        if count < 0:
            self._top = self._back(self._top, -count)
        elif not self.at_end:
            self._top = min(self._on(self._top, count), self._end_top())
        self.follows = self.at_end
        return self._top != before

    def to_start(self) -> None:
        self._top = (0, 0)
        self.follows = self.at_end

    def to_end(self) -> None:
        """Have the last row at the bottom, and follow it."""
        self.follows = True
        self._top = self._end_top()

    def follow(self, *, settle: bool = False) -> bool:
        """Bring the end back into view if it has left; whether anything moved.

        With `settle`, when no more is to come, no room is left below the last row.
        """
        before = self._top
        if settle:
            self._top = self._end_top()
        elif not self.at_end:
            self._top = self._on(self._end_top(), self.height // _JUMP)
        return self._top != before

    def reveal(self, offset: int) -> bool:
        """Move as little as needed to have a character in view; whether anything moved."""
        if 0 <= self.y_of(offset) < self.height:
            return False
        place = self.buffer.row_at(offset, self.width)
        above = place < self._top
        self._top = place if above else self._back(place, max(0, self.height - 1))
        self.follows = self.at_end
        return True

    def align(self, offset: int) -> None:
        """Have the row of a character at the top, as far as there is text below."""
        self._top = min(self.buffer.row_at(offset, self.width), self._end_top())
        self.follows = False

    def row_start(self, offset: int) -> int:
        """The first character of the row that holds a character."""
        line, row = self.buffer.row_at(offset, self.width)
        return self.buffer.lines[line].start + self._line_rows(line)[row].start

    def column(self, offset: int) -> int:
        """The cells before a character in its row."""
        line, row = self.buffer.row_at(offset, self.width)
        within = offset - self.row_start(offset)
        here = self._line_rows(line)[row].text
        return sum(width for first, _, width in clusters(here) if first < within)

    def beside(self, offset: int, count: int, column: int) -> int:
        """The character as many rows below (above, if negative), in a column of cells."""
        place = self.buffer.row_at(offset, self.width)
        line, row = self._on(place, count) if count > 0 else self._back(place, -count)
        found = self._line_rows(line)[row]
        start = self.buffer.lines[line].start + found.start
        for first, _, width in clusters(found.text):
            if column < width:
                return start + first
            column -= width
        return start + max(0, len(found.text) - 1)

    # --- places -------------------------------------------------------------------------------

    def _line_rows(self, line: int) -> list[Row]:
        return self.buffer.lines[line].rows(self.width)

    def _end_top(self) -> tuple[int, int]:
        line = len(self.buffer.lines) - 1
        last = line, len(self._line_rows(line)) - 1
        return self._back(last, max(0, self.height - 1))

    def _on(self, place: tuple[int, int], count: int) -> tuple[int, int]:
        line, row = place[0], place[1] + count
        while row >= (rows := len(self._line_rows(line))):
            if line + 1 >= len(self.buffer.lines):
                return line, rows - 1
            line, row = line + 1, row - rows
        return line, row

    def _back(self, place: tuple[int, int], count: int) -> tuple[int, int]:
        line, row = place[0], place[1] - count
        while row < 0:
            if line == 0:
                return 0, 0
            line -= 1
            row += len(self._line_rows(line))
        return line, row

    def _collect(self, limit: int) -> list[tuple[int, Row]]:
        line, row = self._top
        found: list[tuple[int, Row]] = []
        while line < len(self.buffer.lines) and len(found) < limit:
            rows = self._line_rows(line)[row : row + limit - len(found)]
            found.extend((line, each) for each in rows)
            line, row = line + 1, 0
        return found

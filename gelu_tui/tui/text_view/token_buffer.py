"""The text of a stream, addressed by token, by character and by row; no terminal needed."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator

from rich.cells import cell_len

from gelu_tui.core.safe_text import visible
from gelu_tui.tui.text_view.wrapping import Row, wrap

_NOTHING_BEFORE = "\u25cc"  # a dotted circle carries a mark that would fall on a foreign cell


class Line:
    """One logical line: the text between two line feeds.

    It is wrapped when its rows are asked for, and again only if the width has changed; appending
    re-wraps its last row.
    """

    def __init__(self, start: int) -> None:
        self.start = start  # offset of its first character in the buffer
        self.length = 0
        self._pieces: list[str] = []
        self._rows: list[Row] = []
        self._wrapped: int | None = None  # the width of `_rows`

    @property
    def text(self) -> str:
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""

    def tail(self, start: int) -> str:
        """The characters from `start` on; the cost depends on their number, not on the line's."""
        found: list[str] = []
        at = self.length
        for piece in reversed(self._pieces):
            if at <= start:
                break
            at -= len(piece)
            found.append(piece)
        return "".join(reversed(found))[max(0, start - at) :]

    def append(self, piece: str) -> None:
        self._pieces.append(piece)
        self.length += len(piece)
        if self._wrapped is not None:
            last = self._rows.pop()
            self._rows += wrap(last.text + piece, self._wrapped, last.start)

    def cut(self, length: int) -> None:
        self._pieces = [self.text[:length]]
        self.length = length
        self._wrapped = None

    def rows(self, width: int) -> list[Row]:
        """The rows at `width` cells; at least one."""
        if width != self._wrapped:
            self._rows = wrap(self.text, width)
            self._wrapped = width
        return self._rows


class TokenBuffer:
    """Tokens as text that is safe to show, in logical lines.

    Offsets count characters of this text, line feeds included. A token's characters are
    `starts[i]` to `starts[i + 1]`, possibly none: of a character that spans tokens all belong to
    the token that completes it.
    """

    def __init__(self) -> None:
        self.lines = [Line(0)]
        self.starts = [0]  # one more than there are tokens
        self.marks: list[int] = []  # offsets of characters that were added to the text
        self.epoch = 0  # grows when existing text changes

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def length(self) -> int:
        return self.starts[-1]

    @property
    def text(self) -> str:
        return "\n".join(line.text for line in self.lines)

    def append(self, text: str, feed: str = "") -> None:
        """Add one token, whose text may be hostile; `feed` is a mark before each line feed."""
        line = self.lines[-1]
        for number, part in enumerate(visible(text).split("\n")):
            if number:
                if feed:
                    self.marks.append(line.start + line.length)
                    line.append(feed)
                line = Line(line.start + line.length + 1)
                self.lines.append(line)
            if part and not line.length and part[0] != "\t" and not cell_len(part[0]):
                part = _NOTHING_BEFORE + part
            if part:
                line.append(part)
        self.starts.append(line.start + line.length)

    def truncate(self, count: int) -> None:
        """Keep the first `count` tokens."""
        if count >= len(self):
            return
        self.epoch += 1
        del self.starts[count + 1 :]
        self.marks = [at for at in self.marks if at < self.length]
        keep = self.line_at(self.length)
        del self.lines[keep + 1 :]
        self.lines[keep].cut(self.length - self.lines[keep].start)

    def without_marks(self, index: int, start: int = 0, end: int | None = None) -> str:
        """The characters of a line from `start` to `end`, but not those that were added."""
        line = self.lines[index]
        chosen = line.text[start:end]
        first = line.start + start
        for at in reversed(self.marks):
            if first <= at < first + len(chosen):
                chosen = chosen[: at - first] + chosen[at - first + 1 :]
        return chosen

    def line_at(self, offset: int) -> int:
        """The index of the line that holds the character at `offset`, or ends there."""
        return bisect_right(self.lines, offset, key=lambda line: line.start) - 1

    def token_at(self, offset: int) -> int:
        """The token that the character at `offset` belongs to; beyond the end the last one."""
        return max(0, min(bisect_right(self.starts, offset) - 1, len(self) - 1))

    def span(self, token: int) -> tuple[int, int]:
        return self.starts[token], self.starts[token + 1]

    def row_at(self, offset: int, width: int) -> tuple[int, int]:
        """Line and row of the character at `offset`, when wrapped to `width` cells."""
        line = self.line_at(offset)
        rows = self.lines[line].rows(width)
        within = offset - self.lines[line].start
        return line, bisect_right(rows, within, key=lambda row: row.start) - 1

    def tokens_in(self, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        """The tokens with characters in `start` to `end`, each with where it begins and ends there.

        The parts cover the range without gaps.
        """
        token = bisect_right(self.starts, start) - 1
        while start < end and token < len(self):
            stop = min(end, self.starts[token + 1])
            if stop > start:
                yield token, start, stop
                start = stop
            token += 1

"""Case-insensitive search in a token buffer, ignoring the marks inserted into its text."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from gelu_tui.tui.text_view.token_buffer import Line, TokenBuffer

Span = tuple[int, int]


class Finder:
    """The matches of one query in one buffer; only the new part of a growing line is searched."""

    def __init__(self, buffer: TokenBuffer, query: str = "") -> None:
        self._buffer = buffer
        self._found: dict[int, tuple[int, list[Span]]] = {}
        self._epoch = buffer.epoch
        self.query = query

    def search(self, query: str) -> None:
        """Search for another text, or, if it is empty, for none."""
        self.query = query
        self._found.clear()

    def __iter__(self) -> Iterator[Span]:
        for line in range(len(self._buffer.lines)):
            yield from self._in_line(line)

    def between(self, start: int, end: int) -> list[Span]:
        """The matches that touch the characters from `start` to `end` of one line."""
        spans = self._in_line(self._buffer.line_at(start))
        first = bisect_right(spans, start, key=lambda span: span[1])
        return spans[first : bisect_left(spans, end, key=lambda span: span[0])]

    def _in_line(self, index: int) -> list[Span]:
        if not self.query:
            return []
        if self._epoch != self._buffer.epoch:
            self._epoch = self._buffer.epoch
            self._found.clear()
        line = self._buffer.lines[index]
        searched, spans = self._found.get(index, (0, []))
        if searched != line.length:
            # A match may begin before the new part, but not within the last match.
            begin = max(0, searched - len(self.query) + 1 - len(self._buffer.marks))
            if spans:
                begin = max(begin, spans[-1][1] - line.start)
            spans += self._matches(line, begin)
            self._found[index] = line.length, spans
        return spans

    def _matches(self, line: Line, begin: int) -> list[Span]:
        """The matches in a line from a character on; marks are not part of the text."""
        text, first = line.tail(begin), line.start + begin
        marks = [at - first for at in self._buffer.marks if first <= at < first + len(text)]
        for at in reversed(marks):
            text = text[:at] + text[at + 1 :]

        def place(offset: int) -> int:
            for at in marks:
                offset += at <= offset
            return first + offset

        matches = re.finditer(re.escape(self.query), text, re.IGNORECASE)
        return [(place(m.start()), place(m.end() - 1) + 1) for m in matches]

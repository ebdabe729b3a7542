"""Searching a token buffer, whatever the case of the letters, and across marks put into it."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from gelu_tui.tui.text_view.token_buffer import Line, TokenBuffer

Span = tuple[int, int]


class Finder:
    """The places of one query in one buffer; of a line that grows, only what is new is searched."""

    def __init__(self, buffer: TokenBuffer, query: str = "") -> None:
        self._buffer = buffer
        self._found: dict[int, tuple[int, list[Span]]] = {}
        self._epoch = buffer.epoch
        self.query = query

    def search(self, query: str) -> None:
        self.query = query
        self._found.clear()

    def __iter__(self) -> Iterator[Span]:
        for line in range(len(self._buffer.lines)):
            yield from self._in_line(line)

    def between(self, start: int, end: int) -> list[Span]:
        """The places that touch the characters from `start` to `end` of one line."""
        if not self.query:
            return []
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
            # What was too short for the query may go on to be one, unless it belongs to another.
            begin = max(0, searched - len(self.query) + 1 - len(self._buffer.marks))
            if spans:
                begin = max(begin, spans[-1][1] - line.start)
            spans += self._matches(line, begin)
            self._found[index] = line.length, spans
        return spans

    def _matches(self, line: Line, begin: int) -> list[Span]:
        """The places in a line from a character on; marks are no part of the text."""
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

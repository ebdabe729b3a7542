"""Searching a token buffer, whatever the case of the letters, and across marks put into it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gelu_tui.core.token_buffer import TokenBuffer

Span = tuple[int, int]


class Finder:
    """The places of one query in one buffer; lines that have not changed are not searched again."""

    def __init__(self, buffer: TokenBuffer, query: str = "") -> None:
        self._buffer = buffer
        self._found: dict[int, tuple[int, list[Span]]] = {}
        self._epoch = buffer.epoch
        self.query = query

    def search(self, query: str) -> None:
        """Look for another text; empty for none."""
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
        return [span for span in spans if span[0] < end and span[1] > start]

    def _in_line(self, index: int) -> list[Span]:
        if not self.query:
            return []
        if self._epoch != self._buffer.epoch:
            self._epoch = self._buffer.epoch
            self._found.clear()
        line = self._buffer.lines[index]
        length, spans = self._found.get(index, (-1, []))
        if length != line.length:
            text = self._buffer.without_marks(index)
            matches = re.finditer(re.escape(self.query), text, re.IGNORECASE)
            place = self._with_marks
            spans = [
                (place(line.start + m.start()), place(line.start + m.end() - 1) + 1)
                for m in matches
            ]
            self._found[index] = (line.length, spans)
        return spans

    def _with_marks(self, offset: int) -> int:
        """The offset in the buffer of one that counts from the same line without marks."""
        line = self._buffer.lines[self._buffer.line_at(offset)]
        for at in self._buffer.marks:
            if line.start <= at <= offset:
                offset += 1
        return offset

"""Soft wrap by terminal cells, such that text which grows re-wraps only its last row."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from rich.cells import cell_len, split_graphemes

TAB = "→   "  # a tab as it is shown: always this wide, in any column

_SPACES = " \t\u2000-\u200a\u3000"
# Scripts that are written without blanks: a row may end after any of their characters.
_WIDE = "\u2e80-\u2fff\u3001-\u303e\u3041-\u9fff\uac00-\ud7af\uf900-\ufaff\uff01-\uff60"
_WIDE += "\U00020000-\U0003fffd"
# Marks that belong to the character before them.
_MARKS = "\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u200c\u200d\u20d0-\u20ff\u3099\u309a"
_MARKS += "\ufe00-\ufe0f\ufe20-\ufe2f"
# What must not begin a row.
_CLOSERS = "\u3001\u3002\u3009\u300b\u300d\u300f\u3011\u3015\uff01\uff09\uff0c\uff0e\uff1a\uff1b"
_CLOSERS += "\uff1f\uff3d\uff5d\u30fc\u3005\u309d\u30fb"

_UNIT = re.compile(
    rf"([{_WIDE}][{_MARKS}]*(?:[{_CLOSERS}][{_MARKS}]*)*|[^{_SPACES}{_WIDE}]+(?:[{_CLOSERS}][{_MARKS}]*)*|)"
    rf"([{_SPACES}][{_SPACES}{_MARKS}]*|)"
)


class Row(NamedTuple):
    """One row of a wrapped line: `start` counts characters of the line.

    The texts of all rows joined are the line. Blanks at the end of a row may hang over: only the
    first `shown` characters of `text` fit the width.
    """

    start: int
    text: str
    shown: int


def cells(text: str) -> int:
    """The width of `text` in terminal cells; a line feed has none."""
    # A joiner with nothing before it joins nothing, but Rich gives what follows no width.
    parts = [part.lstrip("\u200d") for part in text.split("\t")]
    return sum(map(cell_len, parts)) + (len(parts) - 1) * len(TAB)


def clusters(text: str) -> Iterator[tuple[int, int, int]]:
    """The grapheme clusters of `text`: first offset, the one after the last, width in cells."""
    at = 0
    for part in re.split("(\t)", text):
        if part == "\t":
            yield at, at + 1, len(TAB)
        elif part:
            for first, last, width in split_graphemes(part)[0]:
                yield at + first, at + last, width
        at += len(part)


def wrap(text: str, width: int, start: int = 0) -> list[Row]:
    """Wrap one logical line to `width` cells, at least one row.

    Words that are wider than a row begin a row and are cut between grapheme clusters. For any a and
    b, `wrap(a + b)` is `wrap(a)` without its last row, then that row's text and b wrapped: so
    appending costs one row. A cluster wider than the width has its own row and is not shown.
    """
    rows: list[Row] = []
    row_at = used = 0

    def close(at: int) -> None:
        nonlocal row_at, used
        rows.append(_row(text[row_at:at], used, width, start + row_at))
        row_at, used = at, 0

    for unit in _UNIT.finditer(text):
        word, blanks = unit.groups()
        if word:
            word_cells = cells(word)
            if used and used + word_cells > width:
                close(unit.start())
            if word_cells <= width:
                used += word_cells
            else:
                for first, _, cluster_cells in clusters(word):
                    if used + cluster_cells > width and unit.start() + first > row_at:
                        close(unit.start() + first)
                    used += cluster_cells
        used += cells(blanks)
    close(len(text))
    return rows


def _row(text: str, used: int, width: int, start: int) -> Row:
    if used <= width:
        return Row(start, text, len(text))
    at = room = 0
    for _, last, cluster_cells in clusters(text):
        room += cluster_cells
        if room > width:
            break
        at = last
    return Row(start, text, at)

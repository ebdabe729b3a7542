"""Rows of a token buffer as styled segments: one style a run, overlays on top."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator

from rich.segment import Segment
from rich.style import Style as RichStyle
from textual.style import Style

from gelu_tui.tui.text_view.token_buffer import TokenBuffer
from gelu_tui.tui.text_view.wrapping import TAB, Row, clusters

Run = tuple[int, int, Style]  # first offset, the one after the last, style


def token_runs(
    buffer: TokenBuffer, start: int, end: int, style_of: Callable[[int], Style]
) -> list[Run]:
    """The styles of the characters from `start` to `end`, neighbours of one style joined."""
    runs: list[Run] = []
    for token, first, last in buffer.tokens_in(start, end):
        style = style_of(token)
        if runs and runs[-1][2] == style:
            first = runs.pop()[0]
        runs.append((first, last, style))
    return runs


def overlaid(runs: list[Run], overlays: Iterable[Run]) -> list[Run]:
    """`runs` with the styles of `overlays` on top, applied in their order."""
    for start, end, style in overlays:
        cut: list[Run] = []
        for first, last, below in runs:
            a, b = (max(first, min(at, last)) for at in (start, end))
            parts = ((first, a, below), (a, b, below + style), (b, last, below))
            cut += [part for part in parts if part[0] < part[1]]
        runs = cut
    return runs


def segments(row: Row, line_index: int, line_start: int, runs: list[Run]) -> list[Segment]:
    """The visible part of a row.

    The meta of every segment's style holds its line and character, so that a selection made with
    the mouse survives a new wrap. A grapheme cluster is never cut: it belongs to the run of its
    first character.
    """
    row_start = line_start + row.start
    snap = _snapping(row.text[: row.shown])
    made = []
    for first, last, style in runs:
        a, b = snap(first - row_start), snap(min(last - row_start, row.shown))
        for text, at in _without_tabs(row.text[a:b], a):
            place = RichStyle.from_meta({"offset": (row.start + at, line_index)})
            made.append(Segment(text, style.rich_style + place))
    return made


def _snapping(text: str) -> Callable[[int], int]:
    """A function that moves an offset on to where a grapheme cluster begins."""
    if text.isascii():
        return lambda offset: offset
    starts = [first for first, _, _ in clusters(text)] + [len(text)]
    return lambda offset: starts[bisect_left(starts, offset)]


def _without_tabs(text: str, at: int) -> Iterator[tuple[str, int]]:
    for part in re.split("(\t)", text):
        if part:
            yield TAB if part == "\t" else part, at
        at += len(part)

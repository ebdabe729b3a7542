"""Rows of a token buffer as styled segments: one style a run, overlays on top."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from rich.segment import Segment
from rich.style import Style as RichStyle
from textual.style import Style

from gelu_tui.tui.text_view.token_buffer import TokenBuffer
from gelu_tui.tui.text_view.wrapping import TAB, Row, clusters

Run = tuple[int, int, Style]


@dataclass(frozen=True)
class Overlay:
    """A style on top of a range of offsets."""

    start: int
    end: int
    style: Style


def token_runs(
    buffer: TokenBuffer, start: int, end: int, style_of: Callable[[int], Style]
) -> list[Run]:
    """The styles of the characters from `start` to `end`, neighbours of one style joined."""
    runs: list[Run] = []
    for token, first, last in buffer.tokens_in(start, end):
        style = style_of(token)
        if runs and runs[-1][2] == style:
            runs[-1] = (runs[-1][0], last, style)
        else:
            runs.append((first, last, style))
    return runs


def overlaid(runs: list[Run], overlays: Iterable[Overlay]) -> list[Run]:
    """`runs` with the overlays applied in their order."""
    for overlay in overlays:
        cut: list[Run] = []
        for first, last, style in runs:
            inner_first, inner_last = max(first, overlay.start), min(last, overlay.end)
            if inner_first >= inner_last:
                cut.append((first, last, style))
                continue
            if first < inner_first:
                cut.append((first, inner_first, style))
            cut.append((inner_first, inner_last, style + overlay.style))
            if inner_last < last:
                cut.append((inner_last, last, style))
        runs = cut
    return runs


def segments(row: Row, line_index: int, line_start: int, runs: list[Run]) -> list[Segment]:
    """The visible part of a row.

    Every segment carries its place, line and character, so that a selection made with the mouse
    addresses the text and survives a new wrap. Grapheme clusters are never cut: one belongs to the
    run of its first character.
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
    if text.isascii():
        return lambda offset: offset
    starts = [first for first, _, _ in clusters(text)] + [len(text)]
    after = {}
    at = 0
    for offset in range(len(text) + 1):
        while starts[at] < offset:
            at += 1
        after[offset] = starts[at]
    return after.__getitem__


def _without_tabs(text: str, at: int) -> Iterable[tuple[str, int]]:
    if "\t" not in text:
        return [(text, at)] if text else []
    parts = []
    for part in text.split("\t"):
        if part:
            parts.append((part, at))
        parts.append((TAB, at + len(part)))
        at += len(part) + 1
    return parts[:-1]

"""The screen as an SVG of few bytes that is equal wherever it is made, and what differs in two.

Textual's own export brings fonts, classes with random names and a window around it. This one has a
row of cells on every line of the file, so that `git diff` reads too.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from rich.cells import cell_len
from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from rich.terminal_theme import TerminalTheme
from textual.app import App

from tests.support.driving import screen_rows

CELL, ROW = 10, 20
_WORDS = re.compile(r"\S+(?: \S+)*")  # what stands apart is placed by itself

# The sixteen colours of xterm: the terminal's own ones differ, and here one must be chosen.
_XTERM = TerminalTheme(
    (0, 0, 0),
    (229, 229, 229),
    [(0, 0, 0), (205, 0, 0), (0, 205, 0), (205, 205, 0),
     (0, 0, 238), (205, 0, 205), (0, 205, 205), (229, 229, 229)],
    [(127, 127, 127), (255, 0, 0), (0, 255, 0), (255, 255, 0),
     (92, 92, 255), (255, 0, 255), (0, 255, 255), (255, 255, 255)],
)  # fmt: skip

_CLASSES = {
    "b": "font-weight:bold",
    "d": "opacity:.6",
    "i": "font-style:italic",
    "u": "text-decoration:underline",
    "s": "text-decoration:line-through",
}


@dataclass(frozen=True)
class Run:
    """Cells of one look: a text at a cell of a row."""

    x: int
    text: str
    look: str  # fill and class, as the SVG has them
    background: str

    @property
    def width(self) -> int:
        return cell_len(self.text)


def picture(app: App[Any]) -> str:
    """What the terminal shows, as an SVG."""
    width, height = app.size
    rows = [list(_runs(segments)) for segments in screen_rows(app)]
    area: dict[str, int] = {}
    for run in (run for row in rows for run in row):
        area[run.background] = area.get(run.background, 0) + run.width
    ground = max(area, key=lambda color: (area[color], color))
    css = "".join(f".{name}{{{rule}}}" for name, rule in _CLASSES.items())
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width * CELL} {height * ROW}">',
        f"<style>text{{white-space:pre;font:16.3px 'Fira Code','DejaVu Sans Mono',Menlo,monospace}}"
        f"{css}</style>",
        f'<rect width="100%" height="100%" fill="{ground}"/>',
        *(_row(y, row, ground) for y, row in enumerate(rows)),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _runs(segments: Iterable[Segment]) -> Iterator[Run]:
    """One run for neighbours that look alike."""
    x, open_run = 0, None
    for segment, style, _ in segments:
        text = segment.replace("\u00a0", " ")  # keeps words together in a wrap, and looks the same
        look, background = _look(style or Style())
        if open_run and (open_run.look, open_run.background) == (look, background):
            open_run = Run(open_run.x, open_run.text + text, look, background)
        else:
            if open_run:
                yield open_run
            open_run = Run(x, text, look, background)
        x += cell_len(text)
    if open_run:
        yield open_run


def _look(style: Style) -> tuple[str, str]:
    front, back = _hex(style.color, foreground=True), _hex(style.bgcolor, foreground=False)
    if style.reverse:
        front, back = back, front
    shown = {
        "b": style.bold, "d": style.dim, "i": style.italic, "u": style.underline, "s": style.strike,
    }  # fmt: skip
    classes = " ".join(name for name, is_set in shown.items() if is_set)
    return f'fill="{front}"' + (f' class="{classes}"' if classes else ""), back


def _hex(color: Color | None, *, foreground: bool) -> str:
    if color is None:
        color = Color.default()
    return color.get_truecolor(_XTERM, foreground=foreground).hex


def _row(y: int, runs: list[Run], ground: str) -> str:
    # Backgrounds first: a font may be a little wider than its cells.
    parts = []
    for color, same in groupby(runs, key=lambda run: run.background):
        cells = list(same)
        if color != ground:
            width = sum(run.width for run in cells) * CELL
            parts.append(
                f'<rect x="{cells[0].x * CELL}" width="{width}" height="{ROW}" fill="{color}"/>'
            )
    for run in runs:
        for words in _WORDS.finditer(run.text):
            x = run.x + cell_len(run.text[: words.start()])
            width = cell_len(words[0]) * CELL
            parts.append(
                f'<text x="{x * CELL}" y="15" textLength="{width}" {run.look}>'
                f"{html.escape(words[0], quote=False)}</text>"
            )
    return f'<g transform="translate(0 {y * ROW})">{"".join(parts)}</g>'


# --- what differs ---------------------------------------------------------------------------------

_TEXT = re.compile(r'<text x="(\d+)" y="15" textLength="\d+" ([^>]*)>([^<]*)</text>')


def text_rows(svg: str) -> list[str]:
    """The rows of a picture as plain text."""
    rows = []
    for line in svg.splitlines():
        if line.startswith("<g "):
            row = ""
            for x, _, text in _TEXT.findall(line):
                row += " " * (int(x) // CELL - cell_len(row)) + html.unescape(text)
            rows.append(row)
    return rows


def difference(before: str, after: str) -> str:
    """The rows that differ, before and after; where only the look differs, what it is made of."""
    old_lines = [line for line in before.splitlines() if line.startswith("<g ")]
    new_lines = [line for line in after.splitlines() if line.startswith("<g ")]
    said = []
    if len(old_lines) != len(new_lines):
        said.append(f"{len(old_lines)} rows before, {len(new_lines)} after")
    rows = zip(old_lines, new_lines, text_rows(before), text_rows(after), strict=False)
    for number, (old, new, old_text, new_text) in enumerate(rows, 1):
        if old_text != new_text:
            said += [f"{number:3} - {old_text}", f"    + {new_text}"]
        elif old != new:
            said += [f"{number:3} = {old_text}", *_looks(old, new)]
    return "\n".join(said) or "the page behind the rows"


def _looks(old: str, new: str) -> Iterator[str]:
    """The parts of a row that only one of the two has."""
    parts = [re.findall(r"<rect[^>]*/>|<text.*?</text>", row) for row in (old, new)]
    for mark, mine, other in (("-", *parts), ("+", *parts[::-1])):
        yield from (f"      {mark} {part}" for part in mine if part not in other)

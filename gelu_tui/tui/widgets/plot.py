"""Curves drawn with characters: pure functions from values to rows of text.

Our own, because the plots of this app are read without colour, in few cells, and in terminals
without Unicode: textual-plot has one pattern for all lines, joins the ends of a gap, has no
logarithm, no bands, and draws axes and legend with box characters alone.

A cell has a grid of dots (braille 2x4, half blocks 1x2, or one character). Curves differ by their
pattern too, not by style alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Literal, NamedTuple

Pattern = Literal["solid", "dotted"]

BLANK, AXIS, LABEL, MARK = "", "dim", "dim", "bold $text-warning"  # styles


@dataclass(frozen=True)
class Dots:
    """How many dots a cell has, the glyph of each mask of dots, and the lines of the axes.

    Bit `row * columns + column` of a mask is that dot, from the top left. `marks` are for cells of
    one dot, where only the glyph can tell a solid curve from a dotted one.
    """

    columns: int
    rows: int
    glyphs: str
    horizontal: str
    vertical: str
    cross: str
    mark: str
    shade: str  # of a band
    marks: tuple[str, str] | None = None


def _braille(mask: int) -> str:
    # Unicode counts the dots down the left side first, and the lowest row last.
    bits = (0, 3, 1, 4, 2, 5, 6, 7)
    return chr(0x2800 + sum(1 << bit for dot, bit in enumerate(bits) if mask >> dot & 1))


BRAILLE = Dots(2, 4, "".join(map(_braille, range(256))), "─", "│", "┼", "●", "░")
HALVES = Dots(1, 2, " ▀▄█", "─", "│", "┼", "*", "░")
ASCII = Dots(1, 1, " *", "-", "|", "+", "O", ":", ("*", "."))


def dots_for(encoding: str | None, term: str | None) -> Dots:
    """The finest dots that a terminal shows: the kernel's console has no braille in its font."""
    if (encoding or "").lower().replace("-", "").replace("_", "") not in ("utf8", "utf8sig"):
        return ASCII
    return HALVES if term == "linux" else BRAILLE


@dataclass(frozen=True)
class Window:
    """The part of the plane that is drawn: `left` < `right`, `bottom` < `top`."""

    left: float
    right: float
    bottom: float
    top: float

    def column(self, x: float, count: int) -> int | None:
        """The column of x, None outside."""
        place = math.floor((x - self.left) / (self.right - self.left) * count)
        return place if 0 <= place < count else None

    def row(self, y: float, count: int) -> int:
        """The row of y from the top: −1 above the window, `count` below it; y is not nan."""
        return math.floor(self.place(y, count))

    def place(self, y: float, count: int) -> float:
        """The rows between the top and y; −1 above the window, `count` below it."""
        place = (self.top - y) / (self.top - self.bottom) * count
        return min(max(place, -1.0), float(count))


@dataclass(frozen=True)
class Layer:
    """A curve: its value in the middle of each column of dots (nan: a gap), and how it looks.

    `sign`, one character, stands on the curve in the cells `signs_at`, so that it is known without
    colour.
    """

    values: Sequence[float]
    style: str
    pattern: Pattern = "solid"
    sign: str = ""
    signs_at: Sequence[int] = ()


@dataclass(frozen=True)
class Band:
    """What lies between two curves: `lows` and `highs` as the values of a `Layer`."""

    lows: Sequence[float]
    highs: Sequence[float]
    style: str


class Run(NamedTuple):
    """Cells of one style beside each other."""

    text: str
    style: str


def dot_columns(window: Window, width: int, dots: Dots) -> list[float]:
    """The x of the middle of each column of dots: a `Layer` of `width` cells wants their values."""
    count = width * dots.columns
    step = (window.right - window.left) / count
    return [window.left + (index + 0.5) * step for index in range(count)]


def plot(
    layers: Sequence[Layer],
    window: Window,
    width: int,
    height: int,
    *,
    dots: Dots = BRAILLE,
    axes: bool = True,
    marks: Sequence[tuple[float, float]] = (),
    bands: Sequence[Band] = (),
    rule: float | None = None,
) -> list[list[Run]]:
    """Draw `layers`, the first on top, into `height` rows of `width` cells; exactly that many.

    What lies outside of the window is cut off. `marks` are points (x, y) with a sign of their own.
    `bands` are shaded behind all layers, the first on top; one that is thinner than a cell is not
    seen. `rule` is an x at which there is a line from top to bottom.
    """
    zero_row, zero_column = window.row(0.0, height), window.column(0.0, width)
    cells = []
    for at in range(height):
        horizontal = axes and at == zero_row
        row_cells = [(dots.horizontal, AXIS) if horizontal else (" ", BLANK)] * width
        if axes and zero_column is not None:
            row_cells[zero_column] = (dots.cross if horizontal else dots.vertical, AXIS)
        cells.append(row_cells)
    if rule is not None and (column_of_rule := window.column(rule, width)) is not None:
        for row_cells in cells:
            row_cells[column_of_rule] = (dots.vertical, MARK)
    for band in reversed(bands):
        for row, column in _shaded(band, window, height, dots):
            cells[row][column] = (dots.shade, band.style)
    for layer in reversed(layers):
        # A cell shows one curve: two would be neither.
        masks: dict[tuple[int, int], int] = {}
        for column, row in _dots_of(layer, window, height * dots.rows):
            place = (row // dots.rows, column // dots.columns)
            bit = row % dots.rows * dots.columns + column % dots.columns
            masks[place] = masks.get(place, 0) | 1 << bit
        for (row, column), mask in masks.items():
            glyph = dots.glyphs[mask]
            if dots.marks:
                glyph = dots.marks[layer.pattern == "dotted"]
            cells[row][column] = (glyph, layer.style)
    for layer in reversed(layers):
        for column in layer.signs_at:
            y = layer.values[column * dots.columns + dots.columns // 2]
            if not math.isnan(y) and 0 <= (row := window.row(y, height)) < height:
                cells[row][column] = (layer.sign, f"bold {layer.style.removeprefix('bold ')}")
    for x, y in marks:
        column_of_mark, row = window.column(x, width), window.row(y, height)
        if column_of_mark is not None and 0 <= row < height:
            cells[row][column_of_mark] = (dots.mark, MARK)
    return [
        [
            Run("".join(glyph for glyph, _ in run), style)
            for style, run in groupby(row, itemgetter(1))
        ]
        for row in cells
    ]


def _shaded(band: Band, window: Window, height: int, dots: Dots) -> Iterator[tuple[int, int]]:
    """The cells of a band as (row, column): those whose middle is in it."""
    for index in range(dots.columns // 2, len(band.lows), dots.columns):
        low, high = band.lows[index], band.highs[index]
        if math.isnan(low) or math.isnan(high):
            continue
        first = math.ceil(window.place(high, height) - 0.5)
        last = math.floor(window.place(low, height) - 0.5)
        for row in range(max(0, first), min(height - 1, last) + 1):
            yield row, index // dots.columns


def _dots_of(layer: Layer, window: Window, count: int) -> Iterator[tuple[int, int]]:
    """The dots of a curve as (column, row), connected where it is steep, inside of the window."""
    before: int | None = None
    for column, value in enumerate(layer.values):
        if math.isnan(value):
            before = None
            continue
        row = window.row(value, count)
        # what lies between this row and the last belongs half to either column
        first = row if before is None else before + (row > before) - (row < before)
        span = range(min(first, row), max(first, row) + 1)
        half = (first + row) / 2
        for place in span:
            if not 0 <= place < count or (layer.pattern == "dotted" and (column + place) % 3):
                continue
            nearer = before is None or abs(place - row) <= abs(place - first) or place == half
            yield (column if nearer else column - 1), place
        before = row


def number(value: float) -> str:
    """A label: three digits that mean something, a true minus."""
    if value == 0:
        return "0"
    text = f"{value:.3g}" if 1e-3 <= abs(value) < 1e4 else f"{value:.1e}"
    mantissa, _, exponent = text.partition("e")
    return (mantissa + (f"e{int(exponent)}" if exponent else "")).replace("-", "−")


def ticks(low: float, high: float, most: int, widest: int = 7) -> dict[float, str]:
    """Return at most so many round numbers between two, with their texts: 1, 2 or 5 times ten.

    Where a text would have more than `widest` characters, all have few digits and an exponent.
    """
    if not high > low or most < 1:
        return {}
    power = 10.0 ** (math.floor(math.log10((high - low) / most)))
    step = next(s for s in (power, 2 * power, 5 * power, 10 * power) if (high - low) / s <= most)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    texts = {count * step: f"{count * step:.{decimals}f}" for count in range(first, last + 1)}
    if max(map(len, texts.values()), default=0) > widest:
        texts = {value: f"{value:.4g}" for value in texts}
    return {
        value: (text if float(text) else text.removeprefix("-")).replace("-", "−")
        for value, text in texts.items()
    }


def labelled(
    rows: Sequence[Sequence[Run]],
    window: Window,
    width: int,
    gutter: int,
    form: Callable[[float], str] | None = None,
    *,
    xs: Mapping[float, str] | None = None,
    ys: Mapping[float, str] | None = None,
) -> list[list[Run]]:
    """`rows` with the ys of top, 0 and bottom in a gutter before them, and a row of xs below.

    `form` writes the ys, by default as `number` does. `xs` and `ys` are other places of labels,
    with their texts.
    """
    if ys is None:
        texts = {len(rows) - 1: window.bottom, 0: window.top, window.row(0.0, len(rows)): 0.0}
        labels = {row: (form or number)(y) for row, y in texts.items()}
    else:
        labels = {window.row(y, len(rows)): text for y, text in ys.items()}
    if xs is None:
        xs = {x: number(x) for x in (window.left, 0.0, window.right)}
    # what has no room is left out: half a number is a wrong one
    labels = {row: label for row, label in labels.items() if len(label) < gutter}
    gutters = (f"{labels.get(row, ''):>{gutter - 1}} " for row in range(len(rows)))
    labelled_rows = [[Run(text, LABEL), *runs] for text, runs in zip(gutters, rows, strict=True)]
    return [*labelled_rows, [Run(" " * gutter + _x_labels(window, width, xs), LABEL)]]


def _x_labels(window: Window, width: int, xs: Mapping[float, str]) -> str:
    line = [" "] * width
    for x, text in xs.items():
        middle = window.column(x, width)
        middle = (0 if x <= window.left else width - 1) if middle is None else middle
        start = min(max(0, middle - len(text) // 2), width - len(text))
        if start >= 0 and not "".join(line[max(0, start - 1) : start + len(text) + 1]).strip():
            line[start : start + len(text)] = text
    return "".join(line)

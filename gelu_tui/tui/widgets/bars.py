"""A histogram drawn with characters: a pure function from bins to rows of text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from gelu_tui.tui.widgets.plot import ASCII, BLANK, Dots, Run, Window

_EIGHTHS = " ▁▂▃▄▅▆▇█"
_HALF_STEPS = " ▄█"  # the kernel's console has no other blocks in its font
_PLAIN = " #"


@dataclass(frozen=True)
class Histogram:
    """How many values lie between each two of `edges`, which grow; one count fewer than edges.

    `title` says whose values they are. `marks` are the ends of a range and a value in it, and
    `marked` names that range in a few characters.
    """

    edges: Sequence[float]
    counts: Sequence[float]
    title: str = ""
    marks: Sequence[float] = ()
    marked: str = ""


def bars(
    histogram: Histogram, window: Window, width: int, height: int, dots: Dots, style: str = ""
) -> list[list[Run]]:
    """Draw the density between the window's `left` and `right`: `height` rows of `width` cells.

    The highest column that is in view has the full height; one that is not empty is never blank.
    """
    edges = np.asarray(histogram.edges, dtype=np.float64)
    below = np.concatenate(([0.0], np.cumsum(np.asarray(histogram.counts, dtype=np.float64))))
    borders = np.linspace(window.left, window.right, width + 1)
    # what a column covers of each bin: values are taken as spread evenly over it
    amounts = np.diff(np.interp(borders, edges, below))
    highest = float(amounts.max(initial=0.0))
    steps = _PLAIN if dots is ASCII else _EIGHTHS if dots.columns > 1 else _HALF_STEPS
    parts = len(steps) - 1
    shares = amounts / highest if highest else np.zeros(width)
    levels = np.where(amounts > 0, np.maximum(1, np.round(shares * height * parts)), 0).astype(int)
    rows = []
    for row in range(height):
        under = (height - 1 - row) * parts
        text = "".join(steps[min(max(level - under, 0), parts)] for level in levels)
        rows.append([Run(text, style or BLANK)])
    return rows


def marks(
    histogram: Histogram, window: Window, width: int, dots: Dots, style: str = ""
) -> list[Run]:
    """The histogram's marks as a line of `width` cells: `├───┼──┤`, as far as it is in view."""
    low, middle, high = sorted(histogram.marks)
    line, centre, ends = ("-", "+", "||") if dots is ASCII else ("─", "┼", "├┤")
    scale = width / (window.right - window.left)
    first, last = ((x - window.left) * scale for x in (low, high))
    cells = [line if first < column + 1 and column <= last else " " for column in range(width)]
    for x, sign in ((low, ends[0]), (middle, centre), (high, ends[1])):
        column = (x - window.left) * scale
        if 0 <= column < width:
            cells[int(column)] = sign
    return [Run("".join(cells), style or BLANK)]

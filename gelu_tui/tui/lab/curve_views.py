"""Several functions in one drawing, with signs on their curves: from samples to rows of text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from rich.cells import cell_len

from gelu_tui.core.functions.curves import EXACT
from gelu_tui.core.functions.numpy_operations import Array
from gelu_tui.core.functions.variants import Variant
from gelu_tui.core.safe_text import visible_line
from gelu_tui.tui.lab.curve_samples import Samples, View, fitting
from gelu_tui.tui.widgets.bars import Histogram, bars, marks
from gelu_tui.tui.widgets.curves import End, names_beside, style_of
from gelu_tui.tui.widgets.plot import (
    ASCII,
    LABEL,
    Dots,
    Layer,
    Run,
    Window,
    dot_columns,
    labelled,
    plot,
    ticks,
)

TITLES: dict[View, str] = {
    "value": "f(x)",
    "derivative": "derivative of f",
    "error": "f(x) − exact GELU",
    "log error": "|f(x) − exact GELU|, logarithmic",
}
GUTTER = 8
_NAMES_FROM = 76  # columns of a drawing that has names beside it
_MOST_NAMES = 22
_LEAST_ROWS = 5
_BAR_ROWS = 5  # at most, of the histogram
_APART = 12  # cells between two signs of a curve
_SIGNS = "12345678"


class Shown(NamedTuple):
    """A function that is drawn: its sign and its style stay with it."""

    variant: Variant
    place: int  # among the shown, from 0

    @property
    def sign(self) -> str:
        return _SIGNS[self.place % len(_SIGNS)]

    @property
    def style(self) -> str:
        return style_of(self.place)


@dataclass(frozen=True)
class Drawing:
    """The rows of a view, where its plot is in them, and what part of the plane it shows."""

    rows: list[list[Run]]
    window: Window
    width: int  # cells of the plot, behind the gutter
    first: int  # the row of its top
    height: int


def draw_view(
    view: View,
    samples: Samples,
    shown: Sequence[Shown],
    x: tuple[float, float],
    width: int,
    height: int,
    dots: Dots,
    *,
    y: tuple[float, float] | None = None,
    chosen: Variant | None = None,
    cursor: float | None = None,
    histogram: Histogram | None = None,
) -> Drawing | None:
    """Draw a view as `height` rows of at most `width` cells; None where there is no room.

    A title, the plot, under an error the `histogram` with its marks, the labels of x. `y` is the
    range that is shown, by default what fits. `chosen` is drawn in front.
    """
    names = min(_MOST_NAMES, 2 + _longest(shown)) if width >= _NAMES_FROM else 0
    inner = width - GUTTER - names
    has_bars = histogram is not None and view in ("error", "log error")
    bar_rows = min(_BAR_ROWS, height // 4) if has_bars else 0
    has_marks = bar_rows > 0 and histogram is not None and len(histogram.marks) > 0
    rows = height - 2 - bar_rows - has_marks
    if rows < _LEAST_ROWS or inner < 16:
        return None
    xs = np.array(dot_columns(Window(*x, 0, 1), inner, dots))
    curves = [samples.at(each.variant, view, xs) for each in shown]
    low, high = y or fitting(view, [ys for each, ys in zip(shown, curves, strict=True)
                                    if not _is_flat(view, each, samples)], x)  # fmt: skip
    window = Window(*x, low, high)
    layers = [_layer(each, ys, inner, len(shown), is_chosen=each.variant == chosen)
              for each, ys in zip(shown, curves, strict=True)]  # fmt: skip
    layers.sort(key=lambda layer: not layer.style.startswith("bold"))  # the chosen one in front
    axes = view != "log error"  # where 0 is no height of its own
    drawn = plot(layers, window, inner, rows, dots=dots, rule=cursor, axes=axes)
    labels = _y_labels(view, low, high, rows)
    drawn = labelled(drawn, window, inner, GUTTER, xs=ticks(*x, max(2, inner // 12), 12), ys=labels)
    if names:
        ends = [
            End(f"{each.sign} {visible_line(each.variant.name)}", _last(ys), each.style,
                is_chosen=False)
            for each, ys in zip(shown, curves, strict=True)
        ]  # fmt: skip
        for row, runs in enumerate(names_beside(ends, window, names, rows)):
            drawn[row] = [*drawn[row], *runs]
    if histogram is not None and bar_rows:
        under = bars(histogram, window, inner, bar_rows, dots, LABEL)
        title = [
            Run(f"{'inputs':>{GUTTER - 1}} ", LABEL),
            *([Run(" " * GUTTER, LABEL)] * (bar_rows - 1)),
        ]
        if has_marks:
            under.append(marks(histogram, window, inner, dots, LABEL))
            title.append(Run(f"{histogram.marked:>{GUTTER - 1}} ", LABEL))
        drawn[rows:rows] = [[title[row], *runs] for row, runs in enumerate(under)]
    heading = [Run(" " * GUTTER + TITLES[view], LABEL)]
    if has_bars and histogram is not None and histogram.title:
        heading.append(Run(f"; below: {visible_line(histogram.title)}", LABEL))
    all_rows = [heading, *drawn]
    if dots is ASCII:
        all_rows = [[Run(_plain(run.text), run.style) for run in row] for row in all_rows]
    return Drawing(all_rows, window, inner, 1, rows)


def _longest(shown: Sequence[Shown]) -> int:
    return max((cell_len(visible_line(each.variant.name)) + 2 for each in shown), default=0)


def _is_flat(view: View, each: Shown, samples: Samples) -> bool:
    """Whether it is exact GELU without an error: it does not say how large the others are."""
    is_exact = each.variant == EXACT and samples.arithmetic.dtype is None
    return is_exact and view in ("error", "log error")


def _layer(each: Shown, ys: Array, width: int, count: int, *, is_chosen: bool) -> Layer:
    apart = max(_APART, 3 * count, width // 6)
    first = (each.place * apart) // max(1, count) + 1
    style = f"bold {each.style}".rstrip() if is_chosen else each.style
    signs = range(first, width, apart)
    return Layer(ys.tolist(), style, "solid" if is_chosen or each.place % 2 == 0 else "dotted",
                 each.sign, signs)  # fmt: skip


def _last(ys: Array) -> float:
    known = ys[np.isfinite(ys)]
    return float(known[-1]) if known.size else np.nan


def _y_labels(view: View, low: float, high: float, rows: int) -> dict[float, str]:
    if view != "log error":
        return ticks(low, high, max(2, rows // 3))
    exponents = ticks(low, high, max(2, rows // 2))
    return {e: f"1e{e:.0f}".replace("-", "−") for e in exponents if float(e).is_integer()}


def _plain(text: str) -> str:
    """What a terminal without Unicode shows."""
    for sign, instead in (("−", "-"), ("►", ">"), ("…", "~")):
        text = text.replace(sign, instead)
    return text

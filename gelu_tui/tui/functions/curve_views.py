"""What the picker shows of one function: three views, a small curve, a few sentences."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

import numpy as np

from gelu_tui.core.functions.curves import BETWEEN, EXACT, GRID, Curve, curve, is_exact, same
from gelu_tui.core.functions.jumps import LIMIT
from gelu_tui.core.functions.numpy_operations import Array
from gelu_tui.tui.widgets.plot import (
    BLANK,
    LABEL,
    MARK,
    Dots,
    Layer,
    Run,
    Window,
    dot_columns,
    labelled,
    number,
    plot,
)

View = Literal["curve", "difference", "slope"]
VIEWS: tuple[View, ...] = ("curve", "difference", "slope")

CURVE, _EXACT_CURVE = "bold $text-accent", "$foreground"  # styles

_LEFT, _RIGHT = -4.0, 4.0
_GUTTER = 8
# Where the functions of this family differ: left of 0, and close to it.
_SMALL = Window(-4.0, 1.0, -0.4, 0.4)


def small_curve(of: Curve, width: int, height: int, dots: Dots) -> list[list[Run]]:
    """Draw the function around its dip, without axes, as `height` rows of `width` cells."""
    ys = _samples(of, "curve", np.array(dot_columns(_SMALL, width, dots)))
    return plot([Layer(ys.tolist(), CURVE)], _SMALL, width, height, dots=dots, axes=False)


def draw(of: Curve, view: View, width: int, height: int, dots: Dots) -> list[list[Run]]:
    """Draw a view as `height` rows of at most `width` cells: a legend, the plot, its labels.

    Returns no rows where there are fewer than 4 rows or 16 columns.
    """
    if height < 4 or width < 16:
        return []
    inner, rows = width - _GUTTER, height - 2
    xs = np.array(dot_columns(Window(_LEFT, _RIGHT, 0, 1), inner, dots))
    own = _samples(of, view, xs)
    layers = [Layer(own.tolist(), CURVE)]
    if view != "difference" and of.variant != EXACT:
        layers.append(Layer(_samples(curve(EXACT), view, xs).tolist(), _EXACT_CURVE, "dotted"))
    window = _window(view, own)
    marks = []
    if view == "difference" and not is_exact(of):
        places = np.array([of.error_at, -of.error_at][: 1 + of.symmetric])
        marks = list(zip(places.tolist(), _samples(of, view, places).tolist(), strict=True))
    drawn = plot(layers, window, inner, rows, dots=dots, marks=marks)
    return [_legend(of, view, width, dots), *labelled(drawn, window, inner, _GUTTER)]


def _samples(of: Curve, view: View, xs: Array) -> Array:
    """Interpolate a view at `xs`, linearly: its points are closer to each other than dots are."""
    grid = BETWEEN if view == "slope" else GRID
    ys = {"curve": of.values, "difference": of.differences, "slope": of.slopes}[view]
    found: Array = np.interp(xs, grid, ys)
    return found


def _window(view: View, own: Array) -> Window:
    finite = own[np.isfinite(own)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if view == "difference":
        # rounding alone is a flat line
        low, high = min(low, -1e-9), max(high, 1e-9)
        size = _round_up(max(-low, high))
        below = size if -low > 0.05 * high else 0.02 * size
        above = size if high > -0.05 * low else 0.02 * size
        return Window(_LEFT, _RIGHT, -below, above)
    least, most, bottom, top = (-2, 3, -0.5, 1) if view == "curve" else (-1, 2, -0.25, 1.25)
    if high < least or low > most:
        return Window(_LEFT, _RIGHT, low - 1, high + 1)
    return Window(_LEFT, _RIGHT, min(bottom, max(low, least)), max(top, min(high, most)))


def _round_up(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value))
    steps = (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)
    return power * next(step for step in steps if step * power >= value)


def _legend(of: Curve, view: View, width: int, dots: Dots) -> list[Run]:
    if view == "difference":
        runs = [Run("f − exact GELU", LABEL)]
        if is_exact(of):
            runs.append(Run("  none", LABEL))
        elif _LEFT <= of.error_at <= _RIGHT:
            runs += [Run("  ", BLANK), Run(dots.mark, MARK), Run(" largest", LABEL)]
    else:
        runs = [_sample("solid", CURVE, dots), Run(" f" if view == "curve" else " slope", LABEL)]
        if of.variant != EXACT:
            title = " exact GELU" if view == "curve" else " of exact GELU"
            runs += [Run("  ", BLANK), _sample("dotted", _EXACT_CURVE, dots), Run(title, LABEL)]
    indent = _GUTTER if sum(len(run.text) for run in runs) + _GUTTER <= width else 0
    return [Run(" " * indent, BLANK), *runs]


def _sample(pattern: Literal["solid", "dotted"], style: str, dots: Dots) -> Run:
    window = Window(0, 1, 0, 1)
    layer = Layer([0.5] * len(dot_columns(window, 3, dots)), style, pattern)
    row = plot([layer], window, 3, 1, dots=dots, axes=False)[0]
    return Run("".join(run.text for run in row), style)


def facts(of: Curve, others: Iterable[Curve] = ()) -> list[str]:
    """Return a line for each fact; `others` are searched for the same function."""
    if is_exact(of):
        lines = ["no error: this is exact GELU"]
    else:
        x = number(round(abs(of.error_at) if of.symmetric else of.error_at, 2))
        end = f", of |x| ≤ {LIMIT:g}" if abs(of.error_at) == LIMIT else ""
        lines = [
            f"max error {number(of.error)} at x = {'±' * of.symmetric}{x}{end}",
            f"RMS error {number(of.rms)} at N(0,1)",
        ]
    smooth = "smooth"
    if of.jump is not None:
        place = number(round(of.jump.at, 2))
        how = "not smooth" if of.jump.derivative < 2 else "differentiable, not smooth"
        smooth = f"{how} at x = {place}"
    lines.append(f"{smooth} · {'monotonic' if of.monotonic else 'not monotonic'}")
    if of.lowest >= 0:
        lines.append("no negative outputs")
    elif of.monotonic:
        lines.append("negative outputs")
    else:
        lines.append(f"lowest {number(of.lowest)} at x = {number(round(of.lowest_at, 2))}")
    function = of.variant.function  # limits make no other function of it
    twins = (o.variant.function for o in others if o.variant.function != function and same(of, o))
    if found := dict.fromkeys(twins):
        lines.append(f"control of {', '.join(found)}")
    return lines

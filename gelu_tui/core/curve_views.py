"""What the picker draws and tells of one function: three views, a small curve, a few sentences."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

import numpy as np

from gelu_tui.core.activations import REGISTRY, Variant
from gelu_tui.core.curves import EXACT, LIMIT, Array, difference, profile, same, slope, values
from gelu_tui.core.plot import (
    BLANK,
    LABEL,
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

CURVE, EXACT_ROLE = "curve", "exact"

_LEFT, _RIGHT = -4.0, 4.0
_GUTTER = 8
# Where the functions of this family differ: left of 0, and close to it.
_SMALL = Window(-4.0, 1.0, -0.4, 0.4)


def small_curve(variant: Variant, width: int, height: int, dots: Dots) -> list[list[Run]]:
    """The function around its dip, without axes, cut off above: `height` rows of `width` cells."""
    layer = Layer(list(values(variant, dot_columns(_SMALL, width, dots))), CURVE)
    return plot([layer], _SMALL, width, height, dots=dots, axes=False)


def draw(variant: Variant, view: View, width: int, height: int, dots: Dots) -> list[list[Run]]:
    """One view as `height` rows of at most `width` cells: a legend, the plot, its labels.

    Less than 4 rows or 16 columns hold nothing: then there are no rows.
    """
    if height < 4 or width < 16:
        return []
    inner, rows = width - _GUTTER, height - 2
    xs = np.array(dot_columns(Window(_LEFT, _RIGHT, 0, 1), inner, dots))
    function = {"curve": values, "difference": difference, "slope": slope}[view]
    own = function(variant, xs)
    layers = [Layer(own.tolist(), CURVE)]
    if view != "difference" and variant != EXACT:
        layers.append(Layer(function(EXACT, xs).tolist(), EXACT_ROLE, "dotted"))
    window = _window(view, own)
    facts = profile(variant)
    marks = []
    if view == "difference" and not same(variant, EXACT):
        places = [facts.error_at, -facts.error_at][: 1 + facts.symmetric]
        marks = [(x, float(difference(variant, x))) for x in places]
    drawn = plot(layers, window, inner, rows, dots=dots, marks=marks)
    return [_legend(variant, view, width, dots), *labelled(drawn, window, inner, _GUTTER)]


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
    return power * next(
        step for step in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if step * power >= value
    )


def _legend(variant: Variant, view: View, width: int, dots: Dots) -> list[Run]:
    if view == "difference":
        facts = profile(variant)
        runs = [Run("f − exact GELU", LABEL)]
        if same(variant, EXACT):
            runs.append(Run("  none", LABEL))
        elif _LEFT <= facts.error_at <= _RIGHT:
            runs += [Run("  ", BLANK), Run(dots.mark, "mark"), Run(" largest", LABEL)]
    else:
        runs = [_sample("solid", CURVE, dots), Run(" f" if view == "curve" else " slope", LABEL)]
        if variant != EXACT:
            title = " exact GELU" if view == "curve" else " of exact GELU"
            runs += [Run("  ", BLANK), _sample("dotted", EXACT_ROLE, dots), Run(title, LABEL)]
    indent = _GUTTER if sum(len(run.text) for run in runs) + _GUTTER <= width else 0
    return [Run(" " * indent, BLANK), *runs]


def _sample(pattern: Literal["solid", "dotted"], role: str, dots: Dots) -> Run:
    window = Window(0, 1, 0, 1)
    layer = Layer([0.5] * len(dot_columns(window, 3, dots)), role, pattern)
    row = plot([layer], window, 3, 1, dots=dots, axes=False)[0]
    return Run("".join(run.text for run in row), role)


def facts(variant: Variant, others: Iterable[Variant] = ()) -> list[str]:
    """What the detail tells, a line each; `others` are searched for the same function."""
    found = profile(variant)
    if same(variant, EXACT):
        lines = ["no error: this is exact GELU"]
    else:
        x = number(round(abs(found.error_at) if found.symmetric else found.error_at, 2))
        end = f", of |x| ≤ {LIMIT:g}" if abs(found.error_at) == LIMIT else ""
        lines = [
            f"max error {number(found.error)} at x = {'±' * found.symmetric}{x}{end}",
            f"RMS error {number(found.rms)} at N(0,1)",
        ]
    smooth = "smooth" if found.kink is None else f"not smooth at x = {number(round(found.kink, 2))}"
    lines.append(f"{smooth} · {'monotonic' if found.monotonic else 'not monotonic'}")
    if found.lowest >= 0:
        lines.append("no negative outputs")
    elif found.monotonic:
        lines.append("negative outputs")
    else:
        lines.append(f"lowest {number(found.lowest)} at x = {number(round(found.lowest_at, 2))}")
    twins = [other.name for other in others if other.name != variant.name and same(variant, other)]
    if twins:
        lines.append(f"control of {', '.join(twins)}")
    return lines


def aliases(variant: Variant) -> tuple[str, ...]:
    """Other names of a function of the registry."""
    return () if variant.node is not None else REGISTRY[variant.name].aliases


__all__ = ["CURVE", "EXACT_ROLE", "VIEWS", "View", "aliases", "draw", "facts", "small_curve"]

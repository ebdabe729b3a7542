"""The incidence curves of a sweep, or of two: the share of prompts that have diverged."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence

from gelu_tui.core.safe_text import visible_line
from gelu_tui.sweep.document import SweepResult
from gelu_tui.sweep.report import figures as f
from gelu_tui.tui.sweep.contents import Contents
from gelu_tui.tui.widgets.curves import NamedCurve
from gelu_tui.tui.widgets.plot import Pattern, Window

NOTE = "Share of prompts that have diverged at a token or before, with 95 % bands."


def incidence_curves(contents: Contents, other: Contents | None = None) -> list[NamedCurve]:
    """A curve of each function and model, those of the `other` sweep dotted.

    The same function has the same style in both.
    """
    both = [("", contents)] if other is None else [("A ", contents), ("B ", other)]
    places: dict[str, int] = {}
    curves = []
    for before, each in both:
        several = len(each.document.models) > 1
        for result in each.results():
            model = f" · {visible_line(result.model)}" * several
            place = places.setdefault(result.variant, len(places))
            name = f"{before}{visible_line(result.variant)}{model}"
            curves.append(_curve(result, name, place, is_dotted=before == "B "))
    return curves


def functions_of(curves: Sequence[NamedCurve]) -> list[tuple[str, ...]]:
    """The names of the curves of each function, in their order."""
    found: dict[int, list[str]] = {}
    for curve in curves:
        found.setdefault(curve.place, []).append(curve.name)
    return [tuple(names) for names in found.values()]


def incidence_window(contents: Contents, other: Contents | None = None) -> Window:
    """All tokens of the longer sweep, and all shares."""
    both = [contents] if other is None else [contents, other]
    return Window(0, max(each.document.settings.max_tokens for each in both), 0, 1)


def _curve(result: SweepResult, name: str, place: int, *, is_dotted: bool) -> NamedCurve:
    tokens = [point.token for point in result.incidence]
    end = result.tokens or math.inf

    def step(values: Sequence[float]) -> Callable[[float], float]:
        def at(x: float) -> float:
            if x > end:
                return math.nan
            point = bisect_right(tokens, x) - 1
            return values[point] if point >= 0 else 0.0

        return at

    shares, lows, highs = (
        step([getattr(point, part) for point in result.incidence])
        for part in ("share", "low", "high")
    )
    last = result.incidence[-1].share if result.incidence else 0.0
    said = f"{f.percents((last,), result.prompts)[0]} %"
    pattern: Pattern = "dotted" if is_dotted else "solid"
    return NamedCurve(name, shares, (lows, highs), said, place, pattern)

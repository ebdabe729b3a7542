"""Curves on a logarithmic or a linear scale, as SVG that needs no script.

Each curve has its colour and its dashes, so that it is told apart without colour too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from gelu_tui.core.reports.html.page import element, escaped
from gelu_tui.core.safe_text import visible_line

_WIDTH, _HEIGHT = 960, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 12, 36
DASHES = ("none", "8 4", "2 3", "10 3 2 3", "14 5", "5 2", "1 4", "12 3 2 3 2 3")
_MOST_DECADES = 16  # below the largest value; what is smaller is drawn at the bottom


@dataclass(frozen=True)
class Curve:
    """A named curve: y over x; `colour` is the number of its colour. A y of None is a gap."""

    name: str
    colour: int
    points: Sequence[tuple[float, float | None]]

    @property
    def drawn(self) -> list[tuple[float, float]]:
        """Its points without the gaps."""
        return [(x, y) for x, y in self.points if y is not None]


def chart(
    curves: Sequence[Curve],
    *,
    axis: str,
    what: str = "KL",
    ticks: Mapping[float, str] | None = None,
    floor: float | None = None,
    limits: tuple[float, float] | None = None,
) -> str:
    """The curves with their legend; empty if none has a point.

    `what` names y. `ticks` names values of x, else they are numbered; `floor` is drawn as a line.
    The scale of y is logarithmic, where 0, which has no logarithm, is at the bottom; with `limits`
    it is linear between them, and what is beyond is cut off.
    """
    points = [point for curve in curves for point in curve.drawn]
    if not points:
        return ""
    scale = _Scale.of(points, floor) if limits is None else _Linear.of(points, limits)
    parts = [*_heights(scale), *_steps(scale, ticks), label(_WIDTH / 2, _HEIGHT - 2, axis)]
    if floor:
        height = scale.y(floor)
        parts.append(line(_LEFT, height, _WIDTH - _RIGHT, height, class_="floor"))
    parts += [path for curve in curves for path in _paths(curve, scale)]
    names = ", ".join(visible_line(curve.name) for curve in curves)
    drawn = element("title", escaped(f"{what} of {names}")) + "".join(parts)
    return element("svg", drawn, viewBox=f"0 0 {_WIDTH} {_HEIGHT}", role="img") + _legend(
        curves, bool(floor)
    )


@dataclass(frozen=True)
class _Scale:
    first: float  # the range of x
    last: float
    low: int  # the decades of y
    high: int

    @classmethod
    def of(cls, points: Sequence[tuple[float, float]], floor: float | None) -> _Scale:
        values = [y for _, y in points if y > 0] + ([floor] if floor else [])
        high = math.ceil(math.log10(max(values))) if values else 0
        low = math.floor(math.log10(min(values))) if values else -1
        low = max(min(low, high - 1), high - _MOST_DECADES)
        xs = [x for x, _ in points]
        return cls(min(xs), max(xs), low, high)

    def x(self, value: float) -> float:
        share = (value - self.first) / ((self.last - self.first) or 1)
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        exponent = math.log10(value) if value > 0 else self.low
        share = (max(exponent, self.low) - self.low) / (self.high - self.low)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)

    def shows(self, value: float) -> bool:
        """Whether a value is within the drawing."""
        return True

    def marks(self) -> dict[float, str]:
        """The values at which there are lines, with their names."""
        exponents = range(self.low, self.high + 1, max(1, (self.high - self.low) // 6))
        return {10.0**exponent: f"1e{exponent}" for exponent in exponents}


@dataclass(frozen=True)
class _Linear(_Scale):
    """y from `bottom` to `top`."""

    bottom: float
    top: float

    @classmethod
    def of(  # type: ignore[override]
        cls, points: Sequence[tuple[float, float]], limits: tuple[float, float]
    ) -> _Linear:
        xs = [x for x, _ in points]
        return cls(min(xs), max(xs), 0, 1, *limits)

    def y(self, value: float) -> float:
        share = (value - self.bottom) / (self.top - self.bottom)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)

    def shows(self, value: float) -> bool:
        return self.bottom <= value <= self.top

    def marks(self) -> dict[float, str]:
        step = 10.0 ** math.floor(math.log10(self.top - self.bottom))
        step = next(
            s for s in (step / 5, step / 2, step, 2 * step) if (self.top - self.bottom) / s < 7
        )
        first, last = math.ceil(self.bottom / step), math.floor(self.top / step)
        return {k * step: f"{k * step:.4g}" for k in range(first, last + 1)}


def _heights(scale: _Scale) -> list[str]:
    parts = []
    for value, name in scale.marks().items():
        height = scale.y(value)
        parts.append(line(_LEFT, height, _WIDTH - _RIGHT, height, class_="grid"))
        parts.append(label(_LEFT - 8, height + 4, name.replace("-", "−"), "end"))
    return parts


def _steps(scale: _Scale, ticks: Mapping[float, str] | None) -> list[str]:
    if ticks is None:
        count = min(8, round(scale.last - scale.first))
        steps = {round(scale.first + (scale.last - scale.first) * i / (count or 1))
                 for i in range(count + 1)}  # fmt: skip
        ticks = {step: f"{step:,}" for step in sorted(steps)}
    base = _HEIGHT - _BOTTOM + 16
    return [label(scale.x(x), base, name) for x, name in ticks.items()]


def _paths(curve: Curve, scale: _Scale) -> list[str]:
    """A line for each part of a curve between gaps."""
    shown = ((x, y) if y is not None and scale.shows(y) else None for x, y in curve.points)
    parts = [list(part) for has, part in groupby(shown, key=bool) if has]
    return [_path(curve, [(scale.x(x), scale.y(y)) for x, y in filter(None, p)]) for p in parts]


def _path(curve: Curve, points: Sequence[tuple[float, float]]) -> str:
    if len(points) == 1:  # a line of no length is not seen
        ((x, y),) = points
        points = [(x - 3, y), (x + 3, y)]
    return element(
        "polyline",
        element("title", escaped(visible_line(curve.name))),
        class_=f"curve c{curve.colour}",
        stroke_dasharray=DASHES[curve.colour],
        points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points),
    )


def _legend(curves: Sequence[Curve], has_floor: bool) -> str:
    items = [
        (curve.name, f"curve c{curve.colour}", DASHES[curve.colour])
        for curve in curves
        if curve.drawn
    ]
    if has_floor:
        items.append(("noise floor", "floor", "2 4"))
    made = []
    for name, style, dashes in items:
        drawn = line(0, 5, 36, 5, class_=style, stroke_dasharray=dashes)
        sample = element("svg", drawn, viewBox="0 0 36 10", aria_hidden="true")
        made.append(element("li", f"{sample}<bdi>{escaped(visible_line(name))}</bdi>"))
    return element("ul", "".join(made), class_="legend")


def line(x1: float, y1: float, x2: float, y2: float, **attributes: str) -> str:
    """A straight line of an SVG."""
    ends = {"x1": f"{x1:.1f}", "y1": f"{y1:.1f}", "x2": f"{x2:.1f}", "y2": f"{y2:.1f}"}
    return element("line", "", **ends, **attributes)


def label(x: float, y: float, text: str, anchor: str = "middle", **attributes: str) -> str:
    """A line of text of an SVG."""
    place = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text_anchor": anchor}
    return element("text", escaped(visible_line(text)), **place, **attributes)

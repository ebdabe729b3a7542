"""The scale of mean KL as SVG: a circle for a function, a square for a yardstick."""

from __future__ import annotations

from collections.abc import Sequence

from gelu_tui.core.reports.html.curves import label, line
from gelu_tui.core.reports.html.page import element, escaped, words
from gelu_tui.core.reports.scale import Mark, decades, sentences, share_of_scale
from gelu_tui.core.safe_text import visible_line

_WIDTH, _ROW = 960, 26
_LEFT, _RIGHT, _TOP = 260, 84, 26  # for names, for values, for the axis
_LONGEST = 36  # characters of a name beside the scale


def scale(marks: Sequence[Mark]) -> tuple[str, ...]:
    """The drawing, and what it says; nothing without marks."""
    if not marks:
        return ()
    low, high = decades(marks)
    height = _TOP + _ROW * len(marks) + 8

    def x(value: float) -> float:
        return _LEFT + share_of_scale(value, low, high) * (_WIDTH - _LEFT - _RIGHT)

    parts = []
    for exponent in range(low, high + 1, max(1, (high - low) // 7)):
        at = x(10.0**exponent)
        parts.append(line(at, _TOP - 6, at, height, class_="grid"))
        parts.append(label(at, 14, f"1e{exponent}".replace("-", "−")))
    for row, mark in enumerate(marks):
        y = _TOP + _ROW * (row + 0.5)
        parts += [
            label(_LEFT - 12, y + 4, _short(mark.label), "end"),
            label(_WIDTH - _RIGHT + 12, y + 4, mark.shown.replace("-", "−"), "start"),
            line(_LEFT, y, x(mark.value), y, class_="grid"),
            element("g", _title(mark) + _sign(mark, x(mark.value), y)),
        ]
    drawn = element("title", "Mean KL in nats, on a logarithmic scale") + "".join(parts)
    legend = "circle: function; square: yardstick; cross: noise floor; mean KL in nats"
    return (
        *(words("p", sentence, class_="lead") for sentence in sentences(marks)),
        element("svg", drawn, viewBox=f"0 0 {_WIDTH} {height}", role="img"),
        words("p", legend, class_="quiet"),
    )


def _short(name: str) -> str:
    name = visible_line(name)
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def _title(mark: Mark) -> str:
    return element("title", escaped(visible_line(f"{mark.label}: {mark.value:.3e} nats")))


def _sign(mark: Mark, x: float, y: float) -> str:
    if mark.kind == "yardstick":
        return element(
            "rect", "", x=f"{x - 6:.1f}", y=f"{y - 6:.1f}", width="12", height="12", class_="c1"
        )
    if mark.kind == "function":
        return element("circle", "", cx=f"{x:.1f}", cy=f"{y:.1f}", r="6", class_="c0")
    strokes = {"class_": "c2", "stroke_width": "3"}
    return line(x - 6, y, x + 6, y, **strokes) + line(x, y - 6, x, y + 6, **strokes)

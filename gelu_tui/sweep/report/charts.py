"""The curves and the dot plot of a sweep's page, as SVG that needs no script.

Each function has its colour, its dashes and its name beside what is drawn of it, so that colour is
not needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from gelu_tui.core.reports.html.curves import DASHES, label, line
from gelu_tui.core.reports.html.page import element, escaped
from gelu_tui.core.safe_text import visible_line
from gelu_tui.sweep.document import Incidence, SweepKl, SweepResult
from gelu_tui.sweep.report import figures as f
from gelu_tui.sweep.report.tables import name_of

_WIDTH, _LEFT, _TOP = 960, 64, 14
_NAMES = 210  # room at the right for names
_HEIGHT, _BOTTOM = 320, 40
_RANGES = (0.05, 0.1, 0.25, 0.5, 1.0)  # what the axis of shares may go to
_APART = 15  # between names
_ROW = 30  # of the dot plot
_SIDE = 170  # room at the left for the names of the dot plot


def incidence_chart(results: Sequence[SweepResult], colours: Mapping[str, int], tokens: int) -> str:
    """The share that has diverged over the tokens, with its band; empty if nothing is known."""
    shown = [result for result in results if result.incidence]
    if not shown:
        return ""
    highest = max(each.high for result in shown for each in result.incidence)
    top = next(limit for limit in (*_RANGES, highest) if highest <= limit)

    def x(token: float) -> float:
        return _LEFT + token / max(1, tokens) * (_WIDTH - _LEFT - _NAMES)

    def y(share: float) -> float:
        return _HEIGHT - _BOTTOM - share / top * (_HEIGHT - _BOTTOM - _TOP)

    parts = [*_share_axis(top, y), *_token_axis(tokens, x)]
    bands = [_band(result, colours, tokens, x, y) for result in shown]
    curves = [_curve(result, colours, tokens, x, y) for result in shown]
    ends = [y(result.incidence[-1].share) for result in shown]
    heights = spread(ends, _TOP, _HEIGHT - _BOTTOM)
    names = [
        _end(result, colours, *place) for result, *place in zip(shown, ends, heights, strict=True)
    ]
    title = element("title", escaped("Share of prompts that have diverged, over the tokens"))
    content = title + "".join((*parts, *bands, *curves, *names))
    return element("svg", content, viewBox=f"0 0 {_WIDTH} {_HEIGHT}", role="img")


def _end(result: SweepResult, colours: Mapping[str, int], end: float, height: float) -> str:
    """The name of a curve, and a line to it from where the curve ends."""
    colour, right = _colour(result, colours), _WIDTH - _NAMES
    dashes = DASHES[colour]
    lead = line(right, end, right + 26, height, class_=f"curve c{colour}", stroke_dasharray=dashes)
    name = _short(name_of(result))
    return lead + label(right + 32, height + 4, name, "start", class_=f"name c{colour}")


def spread(heights: Sequence[float], top: float, bottom: float) -> list[float]:
    """The heights, moved as little as needed so that names do not overlap."""
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    placed: dict[int, float] = {}
    least = top
    for i in order:
        placed[i] = max(heights[i], least)
        least = placed[i] + _APART
    most = bottom
    for i in reversed(order):
        placed[i] = min(placed[i], most)
        most = placed[i] - _APART
    return [placed[i] for i in range(len(heights))]


def kl_chart(results: Sequence[SweepResult], colours: Mapping[str, int]) -> str:
    """Mean KL of each function on a logarithmic scale, with one standard error and the floor."""
    shown = [(result, result.kl) for result in results if result.kl is not None]
    values = [kl.mean for _, kl in shown if kl.mean > 0]
    if not values:
        return ""
    ends = [kl.mean + (kl.se or 0.0) for _, kl in shown if kl.mean > 0]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(ends)))
    high = max(high, low + 1)
    bottom = _TOP + _ROW * len(shown)

    def x(value: float) -> float:
        exponent = min(max(math.log10(value), low), high) if value > 0 else low
        return _SIDE + (exponent - low) / (high - low) * (_WIDTH - _SIDE - _NAMES)

    parts = []
    every = max(1, (high - low) // 8)
    for exponent in range(low, high + 1, every):
        place = x(10.0**exponent)
        parts.append(line(place, _TOP, place, bottom, class_="grid"))
        parts.append(label(place, bottom + 16, f"1e{exponent}".replace("-", "−")))
    parts.append(label((_SIDE + _WIDTH - _NAMES) / 2, bottom + 34, "mean KL, nats"))
    floor = next((kl.mean for result, kl in shown if result.control and kl.mean > 0), None)
    if floor is not None:
        parts.append(line(x(floor), _TOP, x(floor), bottom, class_="floor"))
        parts.append(label(x(floor) + 5, _TOP - 3, "the control's floor", "start"))
    for number, (result, kl) in enumerate(shown):
        parts.append(_dot(result, kl, _TOP + _ROW * (number + 0.5), x, _colour(result, colours)))
    title = element("title", escaped("Mean KL of each function"))
    view = f"0 0 {_WIDTH} {bottom + 40}"
    return element("svg", title + "".join(parts), viewBox=view, role="img")


def _dot(
    result: SweepResult, kl: SweepKl, height: float, x: Callable[[float], float], colour: int
) -> str:
    parts = [
        label(_SIDE - 12, height + 4, _short(name_of(result)), "end", class_=f"name c{colour}")
    ]
    if kl.se and kl.mean > 0:
        ends = (x(kl.mean - kl.se), x(kl.mean + kl.se))
        parts.append(line(ends[0], height, ends[1], height, class_=f"whisker c{colour}"))
    place = {"cx": f"{x(kl.mean):.1f}", "cy": f"{height:.1f}", "r": "4.5"}
    parts.append(element("circle", class_=f"c{colour}", **place))
    times = f", {f.times_floor(kl)} ×" if kl.times_floor is not None and not result.control else ""
    parts.append(label(_WIDTH - _NAMES + 10, height + 4, f"{f.kl_words(kl)}{times}", "start"))
    return "".join(parts)


def _share_axis(top: float, y: Callable[[float], float]) -> list[str]:
    parts = []
    for fifth in range(6):
        share = top * fifth / 5
        parts.append(line(_LEFT, y(share), _WIDTH - _NAMES, y(share), class_="grid"))
        parts.append(label(_LEFT - 8, y(share) + 4, f"{100 * share:.3g} %", "end"))
    return parts


def _token_axis(tokens: int, x: Callable[[float], float]) -> list[str]:
    marks = sorted({round(tokens * eighth / 8) for eighth in range(9)})
    parts = [label(x(mark), _HEIGHT - _BOTTOM + 16, f"{mark:,}") for mark in marks]
    middle = (_LEFT + _WIDTH - _NAMES) / 2
    return [*parts, label(middle, _HEIGHT - 4, "within so many tokens")]


def _steps(
    incidence: Sequence[Incidence], tokens: int, of: Callable[[Incidence], float]
) -> list[tuple[float, float]]:
    """A staircase from 0 tokens to all: a share counts from behind its token on."""
    points = [(0.0, 0.0)]
    for each in incidence:
        points += [(each.token + 1.0, points[-1][1]), (each.token + 1.0, of(each))]
    return [*points, (max(float(tokens), points[-1][0]), points[-1][1])]


def _band(
    result: SweepResult,
    colours: Mapping[str, int],
    tokens: int,
    x: Callable[[float], float],
    y: Callable[[float], float],
) -> str:
    reach = min(result.tokens or tokens, tokens)
    lower = _steps(result.incidence, reach, lambda each: each.low)
    upper = _steps(result.incidence, reach, lambda each: each.high)
    points = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in (*upper, *reversed(lower)))
    return element("polygon", class_=f"band c{_colour(result, colours)}", points=points)


def _curve(
    result: SweepResult,
    colours: Mapping[str, int],
    tokens: int,
    x: Callable[[float], float],
    y: Callable[[float], float],
) -> str:
    colour = _colour(result, colours)
    reach = min(result.tokens or tokens, tokens)
    steps = _steps(result.incidence, reach, lambda each: each.share)
    return element(
        "polyline",
        element("title", escaped(visible_line(name_of(result)))),
        class_=f"curve c{colour}",
        stroke_dasharray=DASHES[colour],
        points=" ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in steps),
    )


def _colour(result: SweepResult, colours: Mapping[str, int]) -> int:
    return colours.get(result.variant, 0) % len(DASHES)


def _short(name: str) -> str:
    return name if len(name) <= 24 else f"{name[:23]}…"

"""The nearest of a terminal's 256 colours, as the eye sees it.

Rich takes the nearest number in each channel: a dark slate becomes navy, a dark warm grey olive.
Here the distance is that of OKLab (Björn Ottosson, 2020), in which equal steps look equal.
"""

from __future__ import annotations

from functools import lru_cache

from rich.color import Color, ColorType
from rich.segment import Segment
from rich.style import Style
from textual.color import Color as TextualColor
from textual.filter import LineFilter

_Lab = tuple[float, float, float]

_FIRST = 16  # those before are the terminal's own


class CubeColours(LineFilter):
    """Draws every RGB colour in one of the 240 that all terminals with 256 colours have."""

    def apply(self, segments: list[Segment], background: TextualColor) -> list[Segment]:
        """Return the segments in those colours."""
        return [
            Segment(text, style + _colours(style.color, style.bgcolor), control) if style else whole
            for whole in segments
            for text, style, control in (whole,)
        ]


@lru_cache(maxsize=1024)
def _colours(color: Color | None, background: Color | None) -> Style:
    """The style with which these colours are replaced."""
    return Style(color=_replaced(color), bgcolor=_replaced(background))


def _replaced(color: Color | None) -> Color | None:
    if color is None or color.type is not ColorType.TRUECOLOR or color.triplet is None:
        return None
    return Color.from_ansi(nearest(*color.triplet))


@lru_cache(maxsize=4096)
def nearest(red: int, green: int, blue: int) -> int:
    """Return the number of the colour that looks most like an RGB colour, 16 to 255."""
    wanted = _lab(red, green, blue)

    def distance(number: int) -> float:
        return sum((a - b) ** 2 for a, b in zip(wanted, _of_cube()[number - _FIRST], strict=True))

    return min(range(_FIRST, 256), key=distance)


@lru_cache(maxsize=1)
def _of_cube() -> list[_Lab]:
    return [_lab(*Color.from_ansi(number).get_truecolor()) for number in range(_FIRST, 256)]


def _lab(red: int, green: int, blue: int) -> _Lab:
    r, g, b = map(_linear, (red, green, blue))
    long = (0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b) ** (1 / 3)
    medium = (0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b) ** (1 / 3)
    short = (0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b) ** (1 / 3)
    return (
        0.2104542553 * long + 0.7936177850 * medium - 0.0040720468 * short,
        1.9779984951 * long - 2.4285922050 * medium + 0.4505937099 * short,
        0.0259040371 * long + 0.7827717662 * medium - 0.8086757660 * short,
    )


def _linear(channel: int) -> float:
    value = channel / 255
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4

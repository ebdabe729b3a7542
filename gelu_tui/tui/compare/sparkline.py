"""KL along a stream in one row of blocks, on a scale that never moves.

A glyph stands for a decade: ▁ below 1e-6 nats, then ten times more for each step, █ from 1 nat up.
The scale is fixed and buckets only ever double, so that a growing stream does not flicker.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LOWEST_DECADE = -6  # the second glyph begins at 10 ** LOWEST_DECADE nats


@dataclass(frozen=True)
class Glyphs:
    """Eight levels from low to high, exactly 0, and no value."""

    levels: str
    zero: str
    missing: str


BLOCKS = Glyphs("▁▂▃▄▅▆▇█", "·", "─")
ASCII = Glyphs("_.:-=+*#", "0", "?")


def bucket_size(count: int, width: int) -> int:
    """The smallest power of two of values a glyph for which `count` values fit into `width`."""
    size = 1
    while width > 0 and size * width < count:
        size *= 2
    return size


def sparkline(
    values: Sequence[float | None],
    width: int,
    *,
    noise_floor: float | None = None,
    glyphs: Glyphs = BLOCKS,
) -> str:
    """Draw `values` (KL in nats, one a step) in at most `width` glyphs, the oldest first.

    Each glyph shows the largest value of its bucket. Values at or below `noise_floor` (nats) are
    drawn as the lowest level; exactly 0 and no value (None, nan) have glyphs of their own. Sizes
    are what counts: rounding may make a KL of almost 0 negative.
    """
    if width <= 0:
        return ""
    size = bucket_size(len(values), width)
    return "".join(
        _glyph(values[start : start + size], noise_floor or 0.0, glyphs)
        for start in range(0, len(values), size)
    )


def _glyph(bucket: Sequence[float | None], noise_floor: float, glyphs: Glyphs) -> str:
    sizes = [abs(value) for value in bucket if value is not None and not math.isnan(value)]
    if not sizes:
        return glyphs.missing
    largest = max(sizes)
    if largest == 0:
        return glyphs.zero
    if largest <= noise_floor:
        return glyphs.levels[0]
    top = len(glyphs.levels) - 1
    if math.isinf(largest):
        return glyphs.levels[top]
    decade = math.floor(math.log10(largest))
    return glyphs.levels[min(top, max(0, decade - LOWEST_DECADE + 1))]

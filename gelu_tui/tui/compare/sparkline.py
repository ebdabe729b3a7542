"""KL along a stream in one row of blocks, on a fixed scale.

Each glyph is a decade: ▁ below 1e-6 nats, then ten times more for each step, █ from 1 nat up.
The scale is fixed and buckets only ever double, so that a growing stream does not flicker.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

LEVELS, ZERO, MISSING = "▁▂▃▄▅▆▇█", "·", "─"
_LOWEST_DECADE = -6  # the second level begins at 10 ** _LOWEST_DECADE nats


def bucket_size(count: int, width: int) -> int:
    """The smallest power of two of values a glyph for which `count` values fit into `width`."""
    return 1 << max(0, math.ceil(count / width) - 1).bit_length() if width > 0 else 1


def sparkline(
    values: Sequence[float | None], width: int, *, noise_floor: float | None = None
) -> str:
    """Draw `values` (KL in nats, one a step) in at most `width` glyphs, the oldest first.

    Each glyph shows the largest value of its bucket. Values at or below `noise_floor` (nats) are
    drawn as the lowest level; exactly 0 and no value (None, nan) have glyphs of their own. Absolute
    values are drawn: rounding may make a KL of almost 0 negative.
    """
    if width <= 0:
        return ""
    size = bucket_size(len(values), width)
    buckets = (values[start : start + size] for start in range(0, len(values), size))
    return "".join(_glyph(bucket, noise_floor or 0.0) for bucket in buckets)


def _glyph(bucket: Sequence[float | None], noise_floor: float) -> str:
    sizes = [abs(value) for value in bucket if value is not None and not math.isnan(value)]
    if not sizes:
        return MISSING
    largest = max(sizes)
    if largest == 0:
        return ZERO
    if largest <= noise_floor:
        return LEVELS[0]
    if largest >= 1:  # infinity, too, which has no logarithm to round
        return LEVELS[-1]
    return LEVELS[max(0, math.floor(math.log10(largest)) - _LOWEST_DECADE + 1)]

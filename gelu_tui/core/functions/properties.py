"""What people ask of an activation function, as figures: the table of its properties."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from gelu_tui.core.errors import UsageError
from gelu_tui.core.functions.curves import GRID, Curve, curve, difference
from gelu_tui.core.functions.jumps import LIMIT, Jump
from gelu_tui.core.functions.variants import Variant

USUAL_RANGE = (-LIMIT, LIMIT)
_FARTHEST = 1000.0  # of a range
_NARROWEST = 1e-6
_POINTS = 4097
_FLAT = 1e-12  # values that differ by less are the same


@dataclass(frozen=True)
class LargestError:
    """The largest absolute difference from exact GELU within a range, and an x where it is.

    `both_sides`: −`at` has the same error, as wherever f(x) − f(−x) = x; then `at` is positive.
    """

    value: float
    at: float
    both_sides: bool


@dataclass(frozen=True)
class Minimum:
    """The smallest value, which the function has for x from `low` to `high`."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Properties:
    """A function against exact GELU and against ReLU.

    The error is that within a range; everything else is about x in [−6, 6]. `minimum` is None where
    the smallest value is at an end of that range only: the function goes on falling there.
    `error` is None where the function has no finite value in the range at all, and `undefined_at`
    is the x nearest to 0 in the range where it has none.
    """

    variant: Variant
    jump: Jump | None
    monotonic: bool
    negative: bool
    minimum: Minimum | None
    rms: float  # root mean square of the difference from exact GELU for x drawn from N(0,1)
    error: LargestError | None
    undefined_at: float | None

    @property
    def smooth(self) -> bool:
        """Whether value and first three derivatives are continuous."""
        return self.jump is None

    @property
    def differentiable(self) -> bool:
        """Whether it has a derivative everywhere."""
        return self.jump is None or self.jump.derivative > 1


@lru_cache(maxsize=64)
def properties(variant: Variant, low: float = -LIMIT, high: float = LIMIT) -> Properties:
    """Return the properties of a function; a long formula takes a tenth of a second.

    The error is searched for x from `low` to `high`.
    """
    of = curve(variant)
    if (low, high) == USUAL_RANGE:
        error: LargestError | None = LargestError(of.error, of.error_at, of.symmetric)
        undefined_at = None
    else:
        error, undefined_at = _largest_error(variant, low, high)
    return Properties(
        variant,
        of.jump,
        of.monotonic,
        negative=of.lowest < -_FLAT,
        minimum=_minimum(of),
        rms=of.rms,
        error=error,
        undefined_at=undefined_at,
    )


def _minimum(of: Curve) -> Minimum | None:
    """Where the values are as low as the lowest: a point, or all of the flat part around it."""
    low = high = int(np.argmin(np.abs(GRID - of.lowest_at)))
    is_low = of.values <= of.lowest + _FLAT
    if not is_low[low]:  # between two points of the grid
        return Minimum(of.lowest, of.lowest_at, of.lowest_at)
    while low > 0 and is_low[low - 1]:
        low -= 1
    while high < len(GRID) - 1 and is_low[high + 1]:
        high += 1
    if low == high and abs(of.lowest_at) == LIMIT:
        return None
    return Minimum(of.lowest + 0.0, float(GRID[low]), float(GRID[high]))


def _largest_error(
    variant: Variant, low: float, high: float
) -> tuple[LargestError | None, float | None]:
    """The largest error in a range, and the x nearest to 0 without a finite value."""
    inside = GRID[(low <= GRID) & (high >= GRID)]
    xs = np.unique(np.concatenate((np.linspace(low, high, _POINTS), inside)))
    errors = np.abs(difference(variant, xs))
    wrong = xs[~np.isfinite(errors)]
    undefined_at = float(wrong[np.argmin(np.abs(wrong))]) if wrong.size else None
    if wrong.size == xs.size:
        return None, undefined_at
    for _ in range(2):  # once more between the neighbours of the largest
        at = int(np.nanargmax(np.where(np.isfinite(errors), errors, np.nan)))
        xs = np.linspace(xs[max(0, at - 1)], xs[min(len(xs) - 1, at + 1)], 65)
        errors = np.abs(difference(variant, xs))
    errors = np.where(np.isfinite(errors), errors, -1.0)
    value, place = float(errors.max()), float(xs[np.argmax(errors)])
    mirrored = abs(float(difference(variant, -place)))
    both = place != 0 and low <= -place <= high and bool(np.isclose(mirrored, value, rtol=1e-6))
    return LargestError(value, abs(place) if both else place, both), undefined_at


def parse_range(text: str) -> tuple[float, float]:
    """Return the range that `-6,6` names. Raises `UsageError`."""
    first, _, second = text.replace("−", "-").partition(",")
    try:
        low, high = float(first), float(second)
    except ValueError:
        message = f"'{text[:40]}' is not a range of x."
        hint = "A range is two numbers with a comma between them, as in --range -6,6."
        raise UsageError(message, hint, kind="range") from None
    check_range(low, high)
    return low, high


def check_range(low: float, high: float) -> None:
    """Raise `UsageError` unless a range can be looked at."""
    if not (abs(low) <= _FARTHEST and abs(high) <= _FARTHEST):  # nan too
        message = f"A range from {low:g} to {high:g} goes too far."
        raise UsageError(message, f"Stay between −{_FARTHEST:g} and {_FARTHEST:g}.", kind="range")
    if high <= low:
        message = f"A range from {low:g} to {high:g} has no width."
        raise UsageError(message, "Give the smaller number first.", kind="range")
    if high - low < _NARROWEST:
        message = f"A range from {low:.9g} to {high:.9g} is too narrow."
        raise UsageError(message, f"Make it {_NARROWEST:g} wide or wider.", kind="range")

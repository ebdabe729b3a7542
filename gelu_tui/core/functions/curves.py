"""An activation function as a curve: its values, its slope, its error, its properties.

Every accepted formula is finite at `GRID`: formulas are tried there. In between it may not be.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from gelu_tui.core.functions.jumps import LIMIT, Jump, first_jump
from gelu_tui.core.functions.numpy_operations import Array, values
from gelu_tui.core.functions.variants import Variant, parse_variant

EXACT = parse_variant("gelu")

GRID = np.linspace(-LIMIT, LIMIT, int(2 * LIMIT) * 256 + 1)
_STEP = float(GRID[1] - GRID[0])
# Slopes are taken between the points of the grid, where functions like `where(x-1,2,0)` jump.
BETWEEN = GRID[:-1] + _STEP / 2

_NORMAL_GRID = np.linspace(-10, 10, 20 * 64 + 1)
_SAME = 1e-9  # the same formula in another order of operations differs by about 1e-15


@dataclass(frozen=True)
class Curve:
    """What is drawn and reported of a function, for x in [−6, 6]; arrays are float64."""

    variant: Variant
    values: Array = field(repr=False)  # at `GRID`
    differences: Array = field(repr=False)  # the function minus exact GELU at `GRID`
    slopes: Array = field(repr=False)  # the derivative at `BETWEEN`
    error: float  # the largest absolute difference from exact GELU
    error_at: float  # the x of `error`, the positive one of two
    symmetric: bool  # −`error_at` has the same error, as wherever f(x) − f(−x) = x
    rms: float  # root mean square of the difference for x drawn from N(0,1)
    lowest: float  # the smallest value
    lowest_at: float
    monotonic: bool
    jump: Jump | None  # None if the function is smooth


@lru_cache(maxsize=64)
def curve(variant: Variant) -> Curve:
    """Return the curve of a function; a long formula takes a tenth of a second to compute."""
    ys = values(variant.node, GRID)
    gaps = difference(variant, GRID)
    near_error = _around(float(GRID[np.argmax(np.abs(gaps))]))
    near_lowest = _around(float(GRID[np.argmin(ys)]))
    errors = np.abs(difference(variant, near_error))
    lows = values(variant.node, near_lowest)
    error, error_at = float(errors.max()), float(near_error[np.argmax(errors)])
    mirrored = abs(float(difference(variant, -error_at)))
    symmetric = error_at != 0 and math.isclose(mirrored, error, rel_tol=1e-6)
    weights = np.exp(-_NORMAL_GRID * _NORMAL_GRID / 2)
    squares = difference(variant, _NORMAL_GRID) ** 2
    steps = np.diff(ys)
    return Curve(
        variant,
        ys,
        gaps,
        slope(variant, BETWEEN),
        error=error,
        error_at=abs(error_at) if symmetric else error_at,
        symmetric=symmetric,
        rms=float(np.sqrt(np.sum(squares * weights) / np.sum(weights))),
        lowest=float(lows.min()),
        lowest_at=float(near_lowest[np.argmin(lows)]),
        monotonic=bool(np.all(steps >= -1e-12) or np.all(steps <= 1e-12)),
        jump=first_jump(variant.node),
    )


def slope(variant: Variant, xs: npt.ArrayLike) -> Array:
    """Return the derivative at `xs`, by central differences; at a kink the mean of both sides."""
    points, h = np.asarray(xs, dtype=np.float64), 1e-5
    return (values(variant.node, points + h) - values(variant.node, points - h)) / (2 * h)


def difference(variant: Variant, xs: npt.ArrayLike) -> Array:
    """Return the function minus exact GELU at `xs`."""
    return values(variant.node, xs) - values(EXACT.node, xs)


def same(one: Curve, other: Curve) -> bool:
    """Return whether two curves differ by rounding alone: then each is the other's control."""
    return bool(np.max(np.abs(one.values - other.values)) <= _SAME)


def is_exact(one: Curve) -> bool:
    """Return whether a function differs from exact GELU by rounding alone."""
    return one.error <= _SAME


def _around(x: float) -> Array:
    """A finer grid, one step of `GRID` to both sides of x."""
    return np.clip(np.linspace(x - _STEP, x + _STEP, 65), -LIMIT, LIMIT)

"""An activation function as a curve: its values, its slope, its error, its properties.

float64 over arrays, for drawing and for the facts beside a drawing; `activations.evaluate_float`
stays the judge of what is finite in float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from gelu_tui.core.activations import REGISTRY, Variant, node_of, parse_variant
from gelu_tui.core.expressions import Node, evaluate, parse

Array = npt.NDArray[np.float64]

EXACT = parse_variant("gelu")
LIMIT = 6.0  # facts are about x in [−LIMIT, LIMIT], as in `gelu-tui activations`

_GRID = np.linspace(-LIMIT, LIMIT, int(2 * LIMIT) * 256 + 1)
_NORMAL_GRID = np.linspace(-10, 10, 20 * 64 + 1)
_SAME = 1e-9  # the same formula in another order of operations differs by about 1e-15
_KINK = 0.02  # a smaller change of slope is not called one


@dataclass(frozen=True)
class Profile:
    """What is worth telling of a function, for x in [−6, 6].

    `error` is the largest absolute difference from exact GELU and `error_at` its x; `rms` the
    root mean square of that difference for x drawn from N(0,1). Where −`error_at` is just as bad,
    as with every function for which f(x) − f(−x) = x, the error is `symmetric`. `kink` is the x
    where the slope or the value jumps most, None where the function is smooth.
    """

    error: float
    error_at: float
    symmetric: bool
    rms: float
    lowest: float
    lowest_at: float
    monotonic: bool
    kink: float | None


class _ArrayOperations:
    """The language over float64 arrays, for `expressions.evaluate`."""

    def __init__(self) -> None:
        self.functions: dict[str, Callable[..., Any]] = {
            "exp": np.exp,
            "log": np.log,
            "tanh": np.tanh,
            "sigmoid": lambda x: np.exp(-np.logaddexp(0.0, -x)),
            "erf": _erf,
            "sqrt": np.sqrt,
            "abs": np.abs,
            "softplus": lambda x: np.logaddexp(0.0, x),
            "min": np.minimum,
            "max": np.maximum,
            "where": lambda condition, a, b: np.where(condition > 0, a, b),
            **{name: self._registered(name) for name in REGISTRY},
        }

    def _registered(self, name: str) -> Callable[[Any], Any]:
        return lambda x: evaluate(_registered_node(name), x, self)

    def number(self, value: float) -> np.float64:
        return np.float64(value)

    def power(self, base: Any, exponent: Any) -> Any:
        return np.power(base, exponent)


def _erf(x: Any) -> Any:
    # numpy has none
    return np.reshape([math.erf(value) for value in np.ravel(x).tolist()], np.shape(x))


@cache
def _registered_node(name: str) -> Node:
    return parse(REGISTRY[name].expression)


_operations = _ArrayOperations()


def values(variant: Variant, xs: npt.ArrayLike) -> Array:
    """The function at `xs`, of the same shape; inf and nan where it has no finite value."""
    points = np.asarray(xs, dtype=np.float64)
    with np.errstate(all="ignore"):
        found = evaluate(node_of(variant), points, _operations)
    return np.array(np.broadcast_to(found, points.shape), dtype=np.float64)


def slope(variant: Variant, xs: npt.ArrayLike) -> Array:
    """The derivative at `xs`, by central differences; at a kink the mean of both sides."""
    points = np.asarray(xs, dtype=np.float64)
    h = 1e-5
    with np.errstate(all="ignore"):
        return (values(variant, points + h) - values(variant, points - h)) / (2 * h)


def difference(variant: Variant, xs: npt.ArrayLike, other: Variant = EXACT) -> Array:
    """The function minus another one (exact GELU) at `xs`."""
    with np.errstate(all="ignore"):
        return values(variant, xs) - values(other, xs)


@lru_cache(maxsize=128)
def profile(variant: Variant) -> Profile:
    """The facts about a function that is finite in [−10, 10], as every accepted formula is."""
    ys = values(variant, _GRID)
    gaps = np.abs(difference(variant, _GRID))
    # rounded, so that of two equal errors the left one is taken
    error_grid = _around(float(_GRID[np.argmax(gaps.round(12))]))
    lowest_grid = _around(float(_GRID[np.argmin(ys)]))
    gaps, lows = np.abs(difference(variant, error_grid)), values(variant, lowest_grid)
    weights = np.exp(-_NORMAL_GRID * _NORMAL_GRID / 2)
    squares = difference(variant, _NORMAL_GRID) ** 2
    error, error_at = float(gaps.max()), float(error_grid[np.argmax(gaps)])
    mirrored = abs(float(difference(variant, -error_at)))
    steps = np.diff(ys)
    return Profile(
        error=error,
        error_at=error_at,
        symmetric=error_at != 0 and math.isclose(mirrored, error, rel_tol=1e-6),
        rms=float(np.sqrt(np.sum(squares * weights) / np.sum(weights))),
        lowest=float(lows.min()),
        lowest_at=float(lowest_grid[np.argmin(lows)]),
        monotonic=bool(np.all(steps >= -1e-12) or np.all(steps <= 1e-12)),
        kink=_kink(variant),
    )


def _around(x: float) -> Array:
    """The grid's step around x, on a finer grid."""
    step = float(_GRID[1] - _GRID[0])
    return np.clip(np.linspace(x - step, x + step, 65), -LIMIT, LIMIT)


@lru_cache(maxsize=1024)
def same(one: Variant, other: Variant) -> bool:
    """Whether two variants are one function, but for rounding: then each controls the other."""
    return bool(np.max(np.abs(difference(one, _GRID[::4], other))) <= _SAME)


def _bends(variant: Variant, xs: Array) -> Array:
    """How much the slope changes at each inner point of an even grid."""
    changes: Array = np.abs(np.diff(np.diff(values(variant, xs)))) / (xs[1] - xs[0])
    return changes


def _kink(variant: Variant) -> float | None:
    """Where the slope jumps most: on a finer grid a jump stays as it is, a curve straightens."""
    step = float(_GRID[1] - _GRID[0])
    bends = _bends(variant, _GRID)
    for index in np.argsort(bends)[: -len(bends) - 1 : -1][:4]:
        if bends[index] < _KINK:
            return None
        x = float(_GRID[index + 1])
        fine = np.linspace(x - step, x + step, 1025)
        finer = _bends(variant, fine)
        at = int(np.argmax(finer))
        if finer[at] > 0.4 * bends[index]:
            return round(float(fine[at + 1]), 4) + 0.0
    return None


__all__ = ["EXACT", "LIMIT", "Array", "Profile", "difference", "profile", "same", "slope", "values"]

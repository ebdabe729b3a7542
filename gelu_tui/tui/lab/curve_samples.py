"""Functions at many x: computed by numpy in float64, or by the engine in another arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gelu_tui.core import protocol as p
from gelu_tui.core.functions.curves import EXACT, difference, slope
from gelu_tui.core.functions.numpy_operations import Array, values
from gelu_tui.core.functions.registry import Precision
from gelu_tui.core.functions.variants import Variant
from gelu_tui.core.settings.run_settings import Dtype, known_dtype

View = Literal["value", "derivative", "error", "log error"]
VIEWS: tuple[View, ...] = ("value", "derivative", "error", "log error")

_POINTS = 2049
_MORE = 0.5  # on either side of what is in view, as a share of its width: for the next moves
_COARSEST = 6.0  # times the width in view, from which on samples are too far apart
_MOST_DECADES = 10  # below the largest error: smaller ones are drawn there


@dataclass(frozen=True)
class Arithmetic:
    """What functions are computed in: a dtype, or None for float64 by numpy.

    With `precision` "model" each operation is rounded to the dtype, else x and the result alone.
    """

    dtype: Dtype | None
    precision: Precision = "float32"

    @property
    def words(self) -> str:
        if self.dtype is None:
            return "float64"
        return f"{self.dtype} throughout" if self.precision == "model" else self.dtype


EXACTLY = Arithmetic(None)


def arithmetics(dtype: str | None) -> tuple[Arithmetic, ...]:
    """What functions can be looked at in, for a model of this dtype.

    A model of float32 has no steps of its own: bfloat16 shows then what another one would have.
    """
    found = known_dtype(dtype or "")
    coarse: Dtype = found if found not in (None, "float32") else "bfloat16"
    ways = (Arithmetic(coarse, "float32"), Arithmetic(coarse, "model"))
    return (Arithmetic("float32"), *ways, EXACTLY)


@dataclass(frozen=True)
class SampledCurve:
    """A function at the x of the samples; nan where it is not finite. Error: minus exact GELU."""

    values: Array
    derivatives: Array
    errors: Array


@dataclass(frozen=True)
class Samples:
    """Functions at `x`, which grows, all computed in one arithmetic."""

    arithmetic: Arithmetic
    low: float
    high: float
    x: Array
    curves: Mapping[Variant, SampledCurve]

    @property
    def is_coarse(self) -> bool:
        """Whether the dtype has so few x in this range that they are seen."""
        return self.arithmetic.dtype is not None and len(self.x) < _POINTS

    def serves(
        self, arithmetic: Arithmetic, variants: Sequence[Variant], x: tuple[float, float]
    ) -> bool:
        """Whether these functions can be drawn in a range of x without others."""
        return (
            self.arithmetic == arithmetic
            and self.low <= x[0]
            and x[1] <= self.high
            and self.high - self.low <= _COARSEST * (x[1] - x[0])
            and all(variant in self.curves for variant in variants)
        )

    def at(self, variant: Variant, view: View, xs: Array) -> Array:
        """A view of a function at `xs`; nan where it is unknown or not finite.

        Where x are few it is that of the nearest one. A logarithm of 0 is −inf.
        """
        curve = self.curves.get(variant)
        if curve is None or not self.x.size:
            return np.full(len(xs), np.nan)
        ys = {"value": curve.values, "derivative": curve.derivatives}.get(view, curve.errors)
        if self.is_coarse:
            found = ys[self.nearest(xs)]
        else:
            found = np.interp(xs, self.x, ys, left=np.nan, right=np.nan)
        if view == "log error":
            with np.errstate(divide="ignore"):
                return np.log10(np.abs(found))
        return found

    def nearest(self, xs: Array) -> np.ndarray[tuple[int, ...], np.dtype[np.intp]]:
        """The indices of the samples nearest to `xs`."""
        after = np.clip(np.searchsorted(self.x, xs), 1, max(1, len(self.x) - 1))
        after = np.minimum(after, len(self.x) - 1)
        before = np.maximum(after - 1, 0)
        return np.where(xs - self.x[before] <= self.x[after] - xs, before, after)


def wanted_range(x: tuple[float, float]) -> tuple[float, float]:
    """The range of x to compute for what is in view."""
    more = _MORE * (x[1] - x[0])
    return max(-1000.0, x[0] - more), min(1000.0, x[1] + more)


def computed(variants: Sequence[Variant], limits: tuple[float, float]) -> Samples:
    """Compute in float64; a long formula takes a tenth of a second."""
    x = np.linspace(*limits, _POINTS)
    curves = {
        variant: SampledCurve(
            _finite(values(variant.node, x)),
            _finite(slope(variant, x)),
            _finite(difference(variant, x)),
        )
        for variant in variants
    }
    return Samples(EXACTLY, *limits, x, curves)


def asked(
    variants: Sequence[Variant], limits: tuple[float, float], arithmetic: Arithmetic
) -> p.FunctionValues:
    """The command for the engine."""
    assert arithmetic.dtype is not None
    specs = tuple(variant.spec for variant in variants)
    return p.FunctionValues(
        specs, *limits, points=_POINTS, dtype=arithmetic.dtype, precision=arithmetic.precision
    )


def answered(
    variants: Sequence[Variant], limits: tuple[float, float], found: p.FunctionValuesFound
) -> Samples:
    """The samples of the engine's answer."""
    x = np.array(found.x, dtype=np.float64)
    exact = values(EXACT.node, x)
    curves = {}
    for variant, curve in zip(variants, found.functions, strict=False):
        ys = np.array(curve.values, dtype=np.float64)
        slopes = np.array(curve.derivatives, dtype=np.float64)
        curves[variant] = SampledCurve(ys, slopes, _finite(ys - exact))
    return Samples(Arithmetic(found.dtype, found.precision), *limits, x, curves)


def _finite(ys: Array) -> Array:
    return np.where(np.isfinite(ys), ys, np.nan)


def fitting(view: View, curves: Sequence[Array], x: tuple[float, float]) -> tuple[float, float]:
    """A range of y for what is in view: what is far larger than the rest is cut off."""
    finite = [ys[np.isfinite(ys)] for ys in curves]
    ys = np.concatenate([*finite, np.zeros(0)])
    if not ys.size:
        return (-9.0, 0.0) if view == "log error" else (-1.0, 1.0)
    if view == "log error":
        high = float(np.ceil(ys.max() + 1e-9))
        return max(float(np.floor(ys.min())), high - _MOST_DECADES), high
    low, high = float(ys.min()), float(ys.max())
    if view == "error":
        sizes = [float(np.abs(each).max()) for each in finite if each.size]
        small = [size for size in sizes if size <= 0.3] or sizes
        most = max(*small, 1e-9)
        low, high = max(low, -most), min(high, most)
    else:
        least, most = (-1.0, 2.0) if view == "derivative" else (-_reach(x), _reach(x))
        if low < most and high > least:
            low, high = max(low, least), min(high, most)
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin


def _reach(x: tuple[float, float]) -> float:
    return max(1.0, abs(x[0]), abs(x[1]))

"""Activation functions against exact GELU on counted inputs.

Each function is evaluated once for every value of the grid that has inputs, by the engine's own
functions. Where the model's inputs are finer than the grid, it is evaluated at points spread evenly
over what belongs to the value, and means are taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import mlx.core as mx
import numpy as np
import numpy.typing as npt

from gelu_tui.core.functions.registry import Precision
from gelu_tui.core.functions.variants import Variant, parse_variant
from gelu_tui.engine.compute.functions import function_of
from gelu_tui.engine.compute.input_counts import Counts, Floats, Grid, Integers, dot

_POINTS = 64  # of each value, where inputs are finer than the grid
_EXACT = parse_variant("gelu")

Mask = npt.NDArray[np.bool_]


class NotFinite(ArithmeticError):
    """A function is nan or infinite at an input that the model has."""

    def __init__(self, at: float) -> None:
        self.at = at
        super().__init__(at)


@dataclass(frozen=True)
class Largest:
    """The largest absolute error, and its x."""

    error: float
    at: float


class ErrorTable:
    """One function on the values of a grid, filled where there are inputs."""

    def __init__(
        self, grid: Grid, dtype: str, variant: Variant, precision: Precision, reference: Variant
    ) -> None:
        """`dtype` is the model's; in it the function is evaluated where `precision` says so."""
        self.limits = variant.limits  # outside of which it is not used
        self._grid, self._dtype = grid, getattr(mx, dtype)
        self._precision = precision
        self._function = function_of(variant, precision)
        self._reference = function_of(reference, precision)
        self._exact = function_of(_EXACT, "float32")
        self._as_mlx_lm = function_of(variant, "model"), function_of(_EXACT, "model")
        size = len(grid.values)
        self._known = np.zeros(size, bool)
        self._errors, self._largest, self._at = np.zeros(size), np.zeros(size), np.zeros(size)
        self._exacts, self._differences = np.zeros(size), np.zeros(size)
        self._differs, self._differs_in_bfloat16 = np.zeros(size), np.zeros(size)

    def fill(self, counts: Counts) -> None:
        """Evaluate the function where it has not been yet. Raises `NotFinite`."""
        fresh = np.flatnonzero((counts.inputs > 0) & ~self._known)
        if not fresh.size:
            return
        points = self._points(fresh)
        values, exact, reference = self._evaluated(points)
        if (wrong := np.flatnonzero(~np.isfinite(values))).size:
            raise NotFinite(float(points.flat[wrong[0]]))
        errors = values - exact
        worst = np.abs(errors).argmax(axis=1)
        rows = np.arange(len(fresh))
        self._largest[fresh] = np.abs(errors)[rows, worst]
        self._at[fresh] = points[rows, worst]
        self._errors[fresh] = np.square(errors).mean(axis=1)
        self._exacts[fresh] = np.square(exact).mean(axis=1)
        self._differences[fresh] = np.square(values - reference).mean(axis=1)
        self._differs[fresh] = self._unequal(points, self._dtype).mean(axis=1)
        centres = self._grid.values[fresh]
        self._differs_in_bfloat16[fresh] = self._unequal(centres, mx.bfloat16)
        self._known[fresh] = True

    def _points(self, places: Integers) -> Floats:
        """Points at which a value's mean is taken, shape (places, points), exact in the dtype."""
        if self._grid.is_exact:
            return self._grid.values[places, None]
        inside = (np.arange(_POINTS) + 0.5) / _POINTS
        low, high = self._grid.low[places, None], self._grid.high[places, None]
        points = (low + (high - low) * inside).astype(np.float32).astype(np.float64)
        points[places == self._grid.zero] = 0.0  # what a model cuts off is 0 itself
        return points

    def _evaluated(self, points: Floats) -> tuple[Floats, Floats, Floats]:
        """The function, exact GELU and the reference at points."""
        x = mx.array(points.astype(np.float32))
        own = x.astype(self._dtype) if self._precision == "model" else x
        return _wide(self._function(own)), _wide(self._exact(x)), _wide(self._reference(own))

    def _unequal(self, points: Floats, dtype: mx.Dtype) -> Mask:
        """Where the function's result is not GELU's, both as mlx-lm computes in a dtype."""
        x = mx.array(points.astype(np.float32)).astype(dtype)
        function, exact = self._as_mlx_lm
        return np.array(function(x) != exact(x))

    # --- over some inputs; `counts` are of values that the table knows --------------------------

    def rmse(self, counts: Counts) -> float:
        """√E[(f−g)²] over the inputs."""
        return float(np.sqrt(dot(counts.inputs, self._errors) / counts.total))

    def geglu_error(self, counts: Counts) -> float | None:
        """√(E[((f−g)u)²] / E[(gu)²]); None where the products of GELU are all 0."""
        whole = float(dot(counts.weights, self._exacts))
        return float(np.sqrt(dot(counts.weights, self._errors) / whole)) if whole else None

    def differs(self, counts: Counts) -> float:
        """Share of the inputs whose result differs in the model's dtype."""
        return float(dot(counts.inputs, self._differs)) / counts.total

    def differs_in_bfloat16(self, counts: Counts) -> float:
        """Share of the inputs whose result differs in bfloat16."""
        return float(dot(counts.inputs, self._differs_in_bfloat16)) / counts.total

    def largest(self, counts: Counts, first: int = 0, end: int | None = None) -> Largest:
        """The largest error on inputs whose values are numbered `first` to `end`."""
        there = first + np.flatnonzero(counts.inputs[first:end])
        best = there[self._largest[there].argmax()]
        found = Largest(float(self._largest[best]), float(self._at[best]))
        inside = counts.minimum <= found.at <= counts.maximum
        if inside:
            return found
        # A value's points may lie beyond the outermost input of all.
        ends = np.array([counts.minimum, counts.maximum])
        values, exact, _ = self._evaluated(ends)
        gaps = np.abs(values - exact)
        inner = there[(self._at[there] >= ends[0]) & (self._at[there] <= ends[1])]
        errors = np.append(self._largest[inner], gaps)
        at = np.append(self._at[inner], ends)
        return Largest(float(errors.max()), float(at[errors.argmax()]))

    def shares(self, counts: Counts, borders: Sequence[int]) -> list[tuple[float | None, ...]]:
        """For each range of values, its shares of Σ(f−g)², of Σ((f−g)u)², and of Σ(f−r)²."""
        wholes = (
            counts.inputs * self._errors,
            counts.weights * self._errors,
            counts.inputs * self._differences,
        )
        return list(zip(*(_shares(whole, borders) for whole in wholes), strict=True))


def _shares(whole: Floats, borders: Sequence[int]) -> list[float | None]:
    parts = [float(whole[a:b].sum()) for a, b in pairwise(borders)]
    total = sum(parts)
    return [part / total if total else None for part in parts]


def _wide(values: mx.array) -> Floats:
    return np.array(values.astype(mx.float32)).astype(np.float64)

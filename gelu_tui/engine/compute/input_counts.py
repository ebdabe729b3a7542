"""Inputs of the activation as counts, in memory that does not depend on how many there are.

Each input is counted under the nearest value of a 16-bit dtype, of which there are 65,536: the
model's own, so that nothing is lost, or bfloat16 for a float32 model, whose values are at most
0.8 % apart. With each count goes Σu², u being what the site multiplies its result with. Whatever is
asked of any function follows from these, once all inputs are counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import mlx.core as mx
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
_Number = TypeVar("_Number", bound=np.number[Any])
Held = npt.NDArray[np.float32 | np.float16 | np.uint16]  # uint16: the bits of bfloat16

_STEPS = 32  # of a coarse histogram's bins between two integers, up to `_LINEAR`
_LINEAR_OCTAVES = 2  # up to 4
_STEPS_OF_OCTAVE = 64  # beyond


def held(array: mx.array) -> Held:
    """A view of an evaluated array, flat; numpy has no bfloat16."""
    if array.dtype == mx.bfloat16:
        array = mx.view(array, mx.uint16)
        mx.eval(array)
    return np.ascontiguousarray(np.array(array, copy=False).reshape(-1))


def _float32(values: Held) -> npt.NDArray[np.float32]:
    if values.dtype == np.uint16:
        return (values.astype(np.uint32) << 16).view(np.float32)
    with np.errstate(invalid="ignore"):  # nan stays nan
        return values.astype(np.float32, copy=False)


def dot(a: Integers | Floats, b: Floats) -> float:
    """Σ a·b, without the BLAS library, whose threads would be in the way of the model's."""
    return float(np.einsum("i,i->", a, b))


class Grid:
    """The finite values of a 16-bit dtype in ascending order, with the borders between them.

    A number belongs to the nearest value, of two equally near ones to the one with even bits.
    """

    def __init__(self, dtype: str) -> None:
        """`dtype` is the model's: another than `bfloat16` and `float16` is counted by bfloat16."""
        self.is_exact = dtype in ("bfloat16", "float16")
        self.dtype = dtype if self.is_exact else "bfloat16"
        bits = np.arange(65_536, dtype=np.uint16)
        own = bits if self.dtype == "bfloat16" else bits.view(np.float16)
        with np.errstate(invalid="ignore"):  # nan is among them
            every = _float32(own).astype(np.float64)
        finite = np.flatnonzero(np.isfinite(every) & (bits != 0x8000))  # −0 is counted as 0
        self._order = finite[np.argsort(every[finite])]
        self.values: Floats = every[self._order]
        self.zero = int(np.searchsorted(self.values, 0.0))
        between = (self.values[:-1] + self.values[1:]) / 2
        self.low: Floats = np.concatenate((self.values[:1], between))
        self.high: Floats = np.concatenate((between, self.values[-1:]))
        coarse = _coarse(self.values)
        # The first value of each coarse bin, and what comes after the last one.
        self.coarse_starts = np.append(
            np.flatnonzero(np.diff(coarse, prepend=coarse[0] - 1)), len(self.values)
        )

    def bits(self, values: Held) -> npt.NDArray[np.integer]:
        """The bits of the nearest value of the dtype, for each number."""
        if self.dtype == "float16":
            with np.errstate(over="ignore"):
                return _float32(values).astype(np.float16).view(np.uint16)
        if values.dtype == np.uint16:
            return values.view(np.uint16)
        wide = _float32(values).view(np.uint32)
        nearest = wide >> 16
        nearest &= 1
        nearest += wide
        nearest += 0x7FFF
        nearest >>= 16
        return nearest

    def ordered(self, by_bits: npt.NDArray[_Number]) -> npt.NDArray[_Number]:
        """What an array of all bits has for each finite value, ascending."""
        found = by_bits[self._order]
        found[self.zero] += by_bits[0x8000]
        return found


def _coarse(values: Floats) -> Integers:
    """The number of each value's coarse bin, ascending: linear around 0, then by octaves."""
    size = np.abs(values)
    octave = np.floor(np.log2(np.maximum(size, 1.0)))
    beyond = (octave - _LINEAR_OCTAVES + size / 2**octave - 1) * _STEPS_OF_OCTAVE
    linear = size * _STEPS
    number = np.where(
        octave < _LINEAR_OCTAVES, linear, (_STEPS << _LINEAR_OCTAVES) + beyond
    ).astype(np.int64)
    return np.where(values < 0, -1 - number, number)


@dataclass
class Counts:
    """How many inputs each value of a grid has, and the Σu² of these inputs."""

    grid: Grid
    inputs: Integers = field(repr=False)
    weights: Floats = field(repr=False)
    total: int = 0
    sum: float = 0.0  # of x
    squares: float = 0.0  # Σx²
    minimum: float = np.inf
    maximum: float = -np.inf

    @classmethod
    def none(cls, grid: Grid) -> Counts:
        """Of no inputs."""
        size = len(grid.values)
        return cls(grid, np.zeros(size, np.int64), np.zeros(size))

    @property
    def is_finite(self) -> bool:
        """Whether all x and u were numbers, and none too large for the grid."""
        numbers = self.minimum, self.maximum, self.weights.sum()
        return bool(np.isfinite(numbers).all()) and int(self.inputs.sum()) == self.total

    def add(self, other: Counts) -> None:
        """Count the other's inputs here too."""
        self.inputs += other.inputs
        self.weights += other.weights
        self.total += other.total
        self.sum += other.sum
        self.squares += other.squares
        self.minimum = min(self.minimum, other.minimum)
        self.maximum = max(self.maximum, other.maximum)

    def moments(self) -> tuple[float, float]:
        """Mean and standard deviation (ddof=0) of the inputs."""
        mean = self.sum / self.total
        return mean, float(np.sqrt(max(0.0, self.squares / self.total - mean**2)))

    def places(self, shares: Sequence[float]) -> list[int]:
        """The number of the value in which each of these shares of the inputs ends."""
        wanted = np.maximum(1.0, np.array(shares) * self.total)
        return [int(place) for place in np.searchsorted(np.cumsum(self.inputs), wanted)]

    def quantiles(self, shares: Sequence[float]) -> list[float]:
        """The values under which these shares of the inputs lie, within one step of the grid."""
        grid, places = self.grid, self.places(shares)
        if grid.is_exact:
            return [float(grid.values[place]) for place in places]
        cumulated = np.cumsum(self.inputs)
        found = []
        for share, place in zip(shares, places, strict=True):
            left = float(cumulated[place]) - max(1.0, share * self.total)
            inside = 1 - left / float(self.inputs[place])
            x = grid.low[place] + (grid.high[place] - grid.low[place]) * inside
            x = 0.0 if place == grid.zero else x  # what a model cuts off is 0 itself
            found.append(float(np.clip(x, self.minimum, self.maximum)))
        return found

    def histogram(self) -> tuple[Floats, Integers]:
        """Edges and counts of the coarse bins from the smallest input to the largest one."""
        there = np.flatnonzero(self.inputs)
        starts = self.grid.coarse_starts
        first = int(np.searchsorted(starts, there[0], "right")) - 1
        end = int(np.searchsorted(starts, there[-1], "right"))
        counts = np.add.reduceat(self.inputs[: starts[end]], starts[first:end])
        high = self.grid.high[starts[end] - 1]
        return np.append(self.grid.low[starts[first:end]], high), counts


def count(grid: Grid, x: Held, u: Held) -> Counts:
    """Count inputs x, with what their results are multiplied with; both flat, of equal length.

    In numpy alone, so that it may run on any thread while MLX computes.
    """
    bits = grid.bits(x)
    places = bits.astype(np.intp)
    inputs: Integers = np.bincount(places, minlength=65_536).astype(np.int64)
    with np.errstate(invalid="ignore"):  # nan stays nan
        squares = np.square(_float32(u), dtype=np.float64)
    weights = np.bincount(places, squares, minlength=65_536).astype(np.float64)
    wide = _float32(x)
    low, high = float(wide.min()), float(wide.max())  # nan if one is
    found = Counts(grid, grid.ordered(inputs), grid.ordered(weights), len(x), 0, 0, low, high)
    values = grid.values
    if x.dtype == np.float32:
        found.sum = float(wide.sum(dtype=np.float64))
        found.squares = float(np.square(wide, dtype=np.float64).sum())
    else:
        found.sum = dot(found.inputs, values)
        found.squares = dot(found.inputs, np.square(values))
    return found

"""A stand-in for an engine that computes functions: numpy's values, rounded to a dtype."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gelu_tui.core import protocol as p
from gelu_tui.core.functions.curves import slope
from gelu_tui.core.functions.numpy_operations import values
from gelu_tui.core.functions.variants import parse_variant


def rounded(numbers: npt.ArrayLike, dtype: str) -> npt.NDArray[np.float64]:
    """Numbers as the dtype has them; bfloat16 is cut, which is as coarse."""
    if dtype == "bfloat16":
        bits = np.asarray(numbers, np.float32).view(np.uint32) & 0xFFFF0000
        return bits.view(np.float32).astype(np.float64)
    return np.asarray(numbers, dtype).astype(np.float64)


def function_values(command: p.FunctionValues) -> p.FunctionValuesFound:
    """The answer to a command; every function is twice as fast as the one before."""
    points = np.linspace(command.low, command.high, command.points)
    x = np.unique(rounded(points, command.dtype))
    curves = []
    for spec in command.functions:
        variant = parse_variant(spec)
        arrays = (
            rounded(each, command.dtype) for each in (values(variant.node, x), slope(variant, x))
        )
        curves.append(p.FunctionCurve(variant.name, *map(_known, arrays)))
    speeds = [
        p.FunctionSpeed(curve.name, 1e6 * 2**number, 2.0**number, 1.0, 2.0**number)
        for number, curve in enumerate(curves)
    ]
    return p.FunctionValuesFound(
        command.dtype, command.precision, "fake", tuple(x.tolist()), tuple(curves),
        tuple(speeds) if command.speed else (), 2**20 if command.speed else 0,
    )  # fmt: skip


def _known(array: npt.NDArray[np.float64]) -> tuple[float | None, ...]:
    return tuple(value if np.isfinite(value) else None for value in array.tolist())

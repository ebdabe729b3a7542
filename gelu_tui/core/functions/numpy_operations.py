"""Formulas over numpy arrays, with float64 precision and float32's range.

Beyond float32's range values are infinite, and its subnormals are 0, as in the engine: so the
overflow of exp(x)/exp(x) at x = 60 is found without it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from gelu_tui.core.functions.expressions import Node
from gelu_tui.core.functions.registry import evaluate

Array = npt.NDArray[np.float64]

_FLOAT32 = np.finfo(np.float32)


def _in_range(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        result = function(*arguments)
        size = np.abs(result)
        result = np.where(size > float(_FLOAT32.max), np.copysign(np.inf, result), result)
        return np.where(size < float(_FLOAT32.tiny), np.copysign(0.0, result), result)

    return call


_erf = np.frompyfunc(math.erf, 1, 1)

_OPERATIONS: Mapping[str, Callable[..., Any]] = {
    "number": _in_range(np.float64),
    "negate": np.negative,
    "+": _in_range(np.add),
    "-": _in_range(np.subtract),
    "*": _in_range(np.multiply),
    "/": _in_range(np.divide),
    "**": _in_range(np.power),
    "exp": _in_range(np.exp),
    "log": np.log,
    "tanh": np.tanh,
    "sigmoid": _in_range(lambda x: 1 / (1 + np.exp(-x))),
    # SciPy's is 7 times as fast, but takes 0.12 s to import
    "erf": lambda x: np.asarray(_erf(x), np.float64),
    "sqrt": np.sqrt,
    "abs": np.abs,
    "softplus": _in_range(lambda x: np.logaddexp(0.0, x)),
    "min": np.minimum,
    "max": np.maximum,
    "where": lambda condition, a, b: np.where(condition > 0, a, b),
}


def values(node: Node, xs: npt.ArrayLike) -> Array:
    """Return a formula at `xs`: float64 of the same shape, inf or nan where it is not finite."""
    points = np.asarray(xs, dtype=np.float64)
    with np.errstate(all="ignore"):
        found = evaluate(node, points, _OPERATIONS)
    return np.array(np.broadcast_to(found, points.shape), dtype=np.float64)

"""Formulas over Python's own floats: a second evaluation to hold numpy's and MLX's against."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable

from gelu_tui.core.functions.expressions import Node
from gelu_tui.core.functions.registry import evaluate

# Python's own arithmetic, with its exceptions
PYTHON_FLOATS: dict[str, Callable[..., float]] = {
    "number": float,
    "negate": operator.neg,
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "**": operator.pow,
    "exp": math.exp,
    "log": math.log,
    "tanh": math.tanh,
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "erf": math.erf,
    "sqrt": math.sqrt,
    "abs": abs,
    "softplus": lambda x: math.log1p(math.exp(x)),
    "min": min,
    "max": max,
    "where": lambda condition, a, b: a if condition > 0 else b,
}


def at_a_point(node: Node, x: float) -> float:
    """The formula at one point. Raises what Python raises where it has no finite value."""
    return float(evaluate(node, x, PYTHON_FLOATS))

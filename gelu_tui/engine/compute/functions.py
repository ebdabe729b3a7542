"""Activation functions over MLX arrays.

The registry's functions are MLX's own kernels where MLX has them, so that `model` precision
computes exactly what mlx-lm computes; own formulas are evaluated operation by operation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cache, partial

import mlx.core as mx
import mlx.nn as nn

from gelu_tui.core.functions.expressions import Node
from gelu_tui.core.functions.registry import REGISTRY, Precision, evaluate
from gelu_tui.core.functions.variants import Variant

Function = Callable[[mx.array], mx.array]


def _keras_gelu_approx(x: mx.array) -> mx.array:
    # Its constant is a Python float, as in MLX's own kernels. x is factored out of the polynomial:
    # equal in exact arithmetic, other roundings in a tenth of the results.
    return 0.5 * x * (1 + mx.tanh(math.sqrt(2 / math.pi) * x * (1 + 0.044715 * x * x)))


_KERNELS: Mapping[str, Function] = {"keras_gelu_approx": _keras_gelu_approx}
_SAME_NAME = ("exp", "log", "tanh", "sigmoid", "erf", "sqrt", "abs")


@cache
def _operations(dtype: mx.Dtype) -> Mapping[str, Callable[..., mx.array]]:
    """The operators and functions of a formula over MLX arrays; constants have `dtype`."""
    return {
        "number": partial(mx.array, dtype=dtype),
        "negate": mx.negative,
        "+": mx.add,
        "-": mx.subtract,
        "*": mx.multiply,
        "/": mx.divide,
        "**": mx.power,
        **{name: getattr(mx, name) for name in _SAME_NAME},
        "softplus": lambda x: mx.logaddexp(x, mx.array(0, x.dtype)),
        "min": mx.minimum,
        "max": mx.maximum,
        "where": lambda condition, a, b: mx.where(condition > 0, a, b),
        **{
            row.name: _KERNELS.get(row.kernel) or getattr(nn, row.kernel)
            for row in REGISTRY.values()
            if row.kernel
        },
    }


class FormulaFunction:
    """A formula as a function of an array of any shape; shape and dtype stay.

    `float32` evaluates in float32 and casts once; `model` evaluates in the array's dtype.
    """

    def __init__(self, node: Node, precision: Precision) -> None:
        self.node, self.precision = node, precision

        def evaluated(x: mx.array) -> mx.array:
            y: mx.array = evaluate(node, x, _operations(x.dtype))
            # A formula without x is a constant; broadcast_to would fix the shape when it is
            # compiled.
            return y if y.shape == x.shape else y + mx.zeros_like(x)

        def in_float32(x: mx.array) -> mx.array:
            return evaluated(x.astype(mx.float32)).astype(x.dtype)

        function: Function = in_float32 if precision == "float32" else evaluated
        # One fused kernel a function; on the CPU compiling would call a C++ compiler at run time.
        on_gpu = mx.default_device() == mx.gpu
        self._function = mx.compile(function, shapeless=True) if on_gpu else function

    def __call__(self, x: mx.array) -> mx.array:
        return self._function(x)


def derivative_of(function: Function) -> Function:
    """The derivative of a function, with its shape and dtype: nan or inf where it has none."""
    # Each result depends on its own x alone, so that the gradient of their sum has them all.
    gradient: Function = mx.grad(lambda x: function(x).sum())
    return gradient


def function_of(variant: Variant, precision: Precision) -> Function:
    """The variant as a function of an array, evaluated in this precision."""
    return FormulaFunction(variant.node, precision)

"""Activation functions over MLX arrays.

The registry's functions are MLX's own kernels where MLX has them, so that `model` precision
computes exactly what mlx-lm computes; own formulas are evaluated operation by operation.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import mlx.core as mx
import mlx.nn as nn

from gelu_tui.core.activations import Variant
from gelu_tui.core.expressions import Node, evaluate
from gelu_tui.core.protocol import Precision

Function = Callable[[mx.array], mx.array]


def _keras_gelu_approx(x: mx.array) -> mx.array:
    # x is factored out of the polynomial: equal in exact arithmetic, other roundings in a tenth of
    # the results.
    return 0.5 * x * (1 + mx.tanh(math.sqrt(2 / math.pi) * x * (1 + 0.044715 * x * x)))


def _identity(x: mx.array) -> mx.array:
    return x


KERNELS: dict[str, Function] = {
    "gelu": nn.gelu,
    "gelu_approx": nn.gelu_approx,
    "gelu_fast_approx": nn.gelu_fast_approx,
    "keras_gelu_approx": _keras_gelu_approx,
    "relu": nn.relu,
    "silu": nn.silu,
    "relu2": nn.relu2,
    "mish": nn.mish,
    "identity": _identity,
}


class _MLXOperations:
    """The operators of the formula language over MLX arrays; constants take the array's dtype."""

    functions: dict[str, Callable[..., mx.array]] = {  # noqa: RUF012 - read only
        "exp": mx.exp,
        "log": mx.log,
        "tanh": mx.tanh,
        "sigmoid": mx.sigmoid,
        "erf": mx.erf,
        "sqrt": mx.sqrt,
        "abs": mx.abs,
        "softplus": lambda x: mx.logaddexp(x, mx.array(0, x.dtype)),
        "min": mx.minimum,
        "max": mx.maximum,
        "where": lambda condition, a, b: mx.where(condition > 0, a, b),
        **KERNELS,
    }

    def __init__(self, dtype: mx.Dtype) -> None:
        self._dtype = dtype

    def number(self, value: float) -> mx.array:
        return mx.array(value, self._dtype)

    def power(self, base: mx.array, exponent: mx.array) -> mx.array:
        return mx.power(base, exponent)


def _formula(node: Node) -> Function:
    def function(x: mx.array) -> mx.array:
        y = evaluate(node, x, _MLXOperations(x.dtype))
        # A formula without x is a constant; broadcast_to would fix the shape when it is compiled.
        return y if y.shape == x.shape else y + mx.zeros_like(x)

    return function


def function_of(variant: Variant, precision: Precision) -> Function:
    """The variant as a function of an array of any shape, which it keeps, as it keeps the dtype.

    `float32` evaluates in float32 and casts once; `model` evaluates in the dtype given.
    """
    function = KERNELS[variant.name] if variant.node is None else _formula(variant.node)
    if precision == "float32":
        function = _in_float32(function)
    if mx.default_device() == mx.gpu:
        # One fused kernel a function; on the CPU compiling would call a C++ compiler at run time.
        function = mx.compile(function, shapeless=True)
    return function


def _in_float32(function: Function) -> Function:
    return lambda x: function(x.astype(mx.float32)).astype(x.dtype)

"""Functions and their derivatives over a range of x, and how fast they are: without a model."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence

import mlx.core as mx
import numpy as np

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.core.functions.expressions import Node, Variable
from gelu_tui.core.functions.properties import check_range
from gelu_tui.core.functions.registry import REGISTRY, Precision, registered
from gelu_tui.core.functions.variants import Variant, parse_variant
from gelu_tui.engine import device
from gelu_tui.engine.compute.functions import Function, derivative_of, function_of
from gelu_tui.engine.failures import IsCancelled, Report, stop_if

_MOST_POINTS = 65_536
_MOST_FUNCTIONS = 64
_ELEMENTS = 2**20  # of a measured call: what 512 tokens make in a layer of 2048
_ROUNDS = 7


def function_values(
    command: p.FunctionValues, emit: Report, cancelled: IsCancelled
) -> p.FunctionValuesFound:
    """Compute what is asked for. Raises `GeluError` and `Interrupted`."""
    check_range(command.low, command.high)
    if not 2 <= command.points <= _MOST_POINTS or len(command.functions) > _MOST_FUNCTIONS:
        message = f"Curves have 2 to {_MOST_POINTS:,} points, and {_MOST_FUNCTIONS} functions."
        raise GeluError("usage", message, "Ask for fewer.")
    variants = [parse_variant(spec) for spec in command.functions]
    device.compile_on_gpu_only()
    x = _inputs(command)
    curves = []
    for variant in variants:
        stop_if(cancelled())
        function = function_of(variant, command.precision)
        values, derivatives = function(x), derivative_of(function)(x)
        curves.append(p.FunctionCurve(variant.name, _numbers(values), _numbers(derivatives)))
    speeds: tuple[p.FunctionSpeed, ...] = ()
    if command.speed:
        speeds = _speeds(variants, command.precision, x.dtype, emit, cancelled)
    return p.FunctionValuesFound(
        command.dtype,
        command.precision,
        device.device_name(),
        x=tuple(np.array(x.astype(mx.float32)).tolist()),
        functions=tuple(curves),
        speeds=speeds,
        elements=_ELEMENTS if speeds else 0,
    )


def _inputs(command: p.FunctionValues) -> mx.array:
    """The different x of a dtype that are nearest to points at equal distances."""
    dtype: mx.Dtype = getattr(mx, command.dtype)
    points = mx.array(np.linspace(command.low, command.high, command.points), mx.float32)
    rounded = np.unique(np.array(points.astype(dtype).astype(mx.float32)))
    return mx.array(rounded).astype(dtype)


def _numbers(array: mx.array) -> tuple[float | None, ...]:
    found: list[float] = np.array(array.astype(mx.float32)).tolist()
    return tuple(value if math.isfinite(value) else None for value in found)


def _speeds(
    variants: Sequence[Variant],
    precision: Precision,
    dtype: mx.Dtype,
    emit: Report,
    cancelled: IsCancelled,
) -> tuple[p.FunctionSpeed, ...]:
    """Measure all functions and exact GELU in turn, for some rounds; the first one warms up."""
    x = mx.random.normal((_ELEMENTS,), key=mx.random.key(0)).astype(dtype)
    mx.eval(x)
    exact = function_of(parse_variant("gelu"), precision)
    functions = {
        variant.name: function_of(variant, precision)
        for variant in variants
        if _plain(variant.node) != Variable()  # nothing is computed
    }
    rounds: list[tuple[float, dict[str, float]]] = []
    for number in range(_ROUNDS + 1):
        of_exact = _seconds(exact, x)
        found = {}
        for name, function in functions.items():
            stop_if(cancelled())
            found[name] = _seconds(function, x)
        rounds.append(((of_exact + _seconds(exact, x)) / 2, found))
        emit(p.Progress("speed", "the functions", number + 1, _ROUNDS + 1, "parts"))
    speeds = []
    for name in functions:
        ratios = [of_exact / found[name] for of_exact, found in rounds[1:]]
        per_second = _ELEMENTS / statistics.median(found[name] for _, found in rounds[1:])
        middle = 1.0 if name == "gelu" else statistics.median(ratios)
        speeds.append(p.FunctionSpeed(name, per_second, middle, min(ratios), max(ratios)))
    return tuple(speeds)


def _plain(node: Node) -> Node:
    """The definition of a formula that is just a function of the registry."""
    name = registered(node)
    return node if name is None else _plain(REGISTRY[name].definition)


def _seconds(function: Function, x: mx.array) -> float:
    began = time.perf_counter()
    mx.eval(function(x))
    return max(time.perf_counter() - began, 1e-9)

"""The MLX functions against their definitions in the registry."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest

from gelu_tui.core.functions import numpy_operations as numpy_functions
from gelu_tui.core.functions.registry import REGISTRY
from gelu_tui.core.functions.variants import parse_variant
from gelu_tui.engine.compute.functions import function_of

X = [step / 16 for step in range(-160, 161)]


def values(spec: str, precision: str, dtype: mx.Dtype) -> np.ndarray:
    function = function_of(parse_variant(spec), precision)
    result = function(mx.array(X, dtype))
    assert result.dtype == dtype
    assert result.shape == (len(X),)
    return np.array(result.astype(mx.float32))


def exact(spec: str) -> np.ndarray:
    return numpy_functions.values(parse_variant(spec).node, X)


OWN = [
    "a=x*sigmoid(1.773*x)",
    "b=where(x,x,0.01*x)",
    "c=max(min(x,3),-abs(x)/4)+0.5*exp(-x**2)",
    "d=softplus(x)-log(2)+sqrt(abs(x))*tanh(x)*erf(x)",
    "again=gelu(x)",
    "constant=pi/e",
]


@pytest.mark.parametrize("spec", [*REGISTRY, *OWN])
def test_float32_equals_the_definition(spec: str) -> None:
    for precision in ("float32", "model"):
        found = values(spec, precision, mx.float32)
        np.testing.assert_allclose(found, exact(spec), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("spec", [*REGISTRY, *OWN])
def test_float32_precision_rounds_bfloat16_once(spec: str) -> None:
    """Evaluated in float32 and cast once, a result is the nearest bfloat16 (or its neighbour)."""
    found = values(spec, "float32", mx.bfloat16)
    inputs = np.array(mx.array(X, mx.bfloat16).astype(mx.float32))
    assert np.array_equal(inputs, np.array(X, np.float32))  # the inputs are exact in bfloat16
    once = np.array(mx.array(exact(spec), mx.float32).astype(mx.bfloat16).astype(mx.float32))
    # In the negative tail 1 + erf cancels, so there float32 itself is not exact.
    usual = np.array(X) > -2
    different = (found != once)[usual].mean()
    assert different < 0.02, "more than near-ties of the last rounding"


def test_model_precision_rounds_inside_the_function() -> None:
    inside = values("gelu_approx", "model", mx.bfloat16)
    once = values("gelu_approx", "float32", mx.bfloat16)
    assert (inside != once).mean() > 0.05


def test_own_formula_of_a_registry_function_is_that_function() -> None:
    for dtype in (mx.float32, mx.bfloat16):
        for precision in ("float32", "model"):
            again = values("again=gelu(x)", precision, dtype)
            assert np.array_equal(again, values("gelu", precision, dtype))


@pytest.mark.parametrize("spec", [*REGISTRY, *OWN])
@pytest.mark.parametrize("precision", ["float32", "model"])
def test_compiled_as_on_a_gpu_every_shape_keeps_its_own(spec: str, precision: str) -> None:
    """On a GPU the functions are compiled once for all shapes: prefill first, then decode."""
    function = function_of(parse_variant(spec), precision)
    mx.enable_compile()
    try:
        compiled = mx.compile(function, shapeless=True)
        for shape in ((1, 7, 4), (1, 1, 4), (2, 3)):
            x = mx.random.normal(shape)
            assert compiled(x).shape == shape
            np.testing.assert_allclose(
                np.array(compiled(x)), np.array(function(x)), rtol=1e-5, atol=1e-6
            )
    finally:
        mx.disable_compile()


def test_the_control_differs_only_by_rounding() -> None:
    """Another order of operations: not the same bits, but the same function."""
    x = mx.array(np.random.default_rng(0).standard_normal(4096).astype(np.float32))
    forms = (parse_variant(name) for name in ("gelu_approx", "keras_gelu_approx"))
    a, b = (np.array(function_of(form, "model")(x)) for form in forms)
    assert 0.02 < (a != b).mean() < 0.5
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)

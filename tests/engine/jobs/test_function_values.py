"""Values against numpy, derivatives against finite differences, x that a dtype has, and speed."""

from __future__ import annotations

from typing import get_args

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.core.functions.curves import slope
from gelu_tui.core.functions.jumps import first_jump
from gelu_tui.core.functions.numpy_operations import values
from gelu_tui.core.functions.registry import REGISTRY
from gelu_tui.core.functions.variants import parse_variant
from gelu_tui.core.settings.run_settings import Dtype
from gelu_tui.engine.failures import Interrupted
from gelu_tui.engine.jobs import function_values as job
from gelu_tui.engine.jobs.function_values import function_values

OWN = (
    "a=x*sigmoid(1.773*x)",
    "b=where(x-1,min(x,2),-x)",
    "c=exp(-x*x)*erf(x)/(e+pi)",
    "d=log(1+exp(x))*softplus(x)-tanh(x)**3",
    "e_=7",
    "f=sqrt(x*x+1)-abs(x)",
)


def answer(*functions: str, **asked: object) -> p.FunctionValuesFound:
    command = p.FunctionValues(functions, **asked)  # type: ignore[arg-type]
    found = function_values(command, lambda _: None, lambda: False)
    decoded = p.decode_event(p.encode(found))
    assert decoded == found, "it survives the wire"
    return found


def arrays(curve: p.FunctionCurve) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    return np.array(curve.values, float), np.array(curve.derivatives, float)


@pytest.mark.parametrize("spec", [*REGISTRY, *OWN])
def test_float32_agrees_with_numpy_and_with_finite_differences(spec: str) -> None:
    found = answer(spec, low=-6.03, high=6.01, points=403)
    x = np.array(found.x)
    computed, derivatives = arrays(found.functions[0])
    variant = parse_variant(spec)
    np.testing.assert_allclose(computed, values(variant.node, x), rtol=2e-5, atol=2e-6)
    smooth = np.ones(len(x), bool)
    if (jump := first_jump(variant.node)) is not None:
        smooth = abs(x - jump.at) > 1e-3
    expected = slope(variant, x)
    np.testing.assert_allclose(derivatives[smooth], expected[smooth], rtol=2e-5, atol=5e-5)


@given(st.sampled_from([*REGISTRY, *OWN]), st.floats(-50, 50), st.floats(0.01, 20))
@settings(max_examples=40, deadline=None)
def test_any_range_agrees(spec: str, low: float, width: float) -> None:
    found = answer(spec, low=low, high=low + width, points=17)
    assert list(found.x) == sorted(set(found.x))
    expected = values(parse_variant(spec).node, np.array(found.x))
    np.testing.assert_allclose(arrays(found.functions[0])[0], expected, rtol=1e-4, atol=1e-5)


def bits(x: npt.ArrayLike) -> npt.NDArray[np.uint32]:
    return np.asarray(x, np.float32).view(np.uint32)


@pytest.mark.parametrize("precision", ["float32", "model"])
def test_the_x_and_the_values_are_those_of_bfloat16(precision: str) -> None:
    found = answer("gelu", "gelu_approx", dtype="bfloat16", precision=precision, points=2001)
    assert not (bits(found.x) & 0xFFFF).any(), "x has 8 bits of mantissa"
    assert 300 < len(found.x) < 1500, "where bfloat16 is coarse there are fewer x than points"
    exact = values(parse_variant("gelu").node, np.array(found.x))
    for curve in found.functions:
        computed, _ = arrays(curve)
        assert not (bits(computed) & 0xFFFF).any()
        assert np.abs(computed - exact).max() < 0.1
    error = np.abs(arrays(found.functions[0])[0] - exact)
    # Cast once, it is at most half a step from the true value; inside, each operation rounds.
    half_a_step = np.abs(exact) * 2.0**-8 + 1e-6
    assert (error <= half_a_step).all() == (precision == "float32")


def test_a_narrow_range_in_a_coarse_dtype_has_one_x() -> None:
    assert answer("gelu", low=2.001, high=2.002, dtype="bfloat16").x == (2.0,)


def test_where_a_function_is_not_finite_there_is_none() -> None:
    found = answer("a=sqrt(x+61)", "b=exp(x)", low=-100, high=100, points=201)
    root, power = found.functions
    lost = [x for x, y in zip(found.x, root.values, strict=True) if y is None]
    assert lost == [x for x in found.x if x < -61]
    assert power.values[-1] is None and power.values[0] == 0


@pytest.mark.parametrize("dtype", get_args(Dtype))
def test_speeds_are_ratios_to_exact_gelu_within_one_run(
    dtype: Dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    if dtype != "float32":  # one is measured as users measure
        monkeypatch.setattr(job, "_ELEMENTS", 2**12)
    progress: list[p.Progress] = []
    command = p.FunctionValues(("relu", "gelu", "identity"), points=2, dtype=dtype, speed=True)
    found = function_values(command, progress.append, lambda: False)
    assert [speed.name for speed in found.speeds] == ["relu", "gelu"], "the identity computes none"
    for speed in found.speeds:
        assert 0 < speed.lowest <= speed.highest and speed.per_second > 0
    assert found.speeds[1].ratio == 1 and found.elements == (2**20 if dtype == "float32" else 2**12)
    assert progress[-1].done == progress[-1].total


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"low": 6.0, "high": -6.0}, "has no width"),
        ({"low": -1e9}, "goes too far"),
        ({"high": float("nan")}, "goes too far"),
        ({"points": 1}, "Curves have 2 to"),
        ({"points": 10**9}, "Curves have 2 to"),
    ],
)
def test_what_cannot_be_computed_is_refused(asked: dict[str, float], sentence: str) -> None:
    with pytest.raises(GeluError, match=sentence):
        answer("gelu", **asked)


def test_a_formula_that_is_not_one_is_refused() -> None:
    with pytest.raises(GeluError, match="no activation function named"):
        answer("gelo")


def test_it_can_be_cancelled() -> None:
    command = p.FunctionValues(("gelu",), speed=True)
    with pytest.raises(Interrupted):
        function_values(command, lambda _: None, lambda: True)

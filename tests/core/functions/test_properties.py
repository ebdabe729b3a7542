"""The table of properties, held against what is known of each function."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gelu_tui.core.errors import UsageError
from gelu_tui.core.functions.curves import difference
from gelu_tui.core.functions.properties import LargestError, Minimum, parse_range, properties
from gelu_tui.core.functions.registry import REGISTRY
from gelu_tui.core.functions.variants import parse_variant

# smooth, differentiable, monotonic, negative, the minimum's value and place
KNOWN = {
    "gelu": (True, True, False, True, -0.16997, -0.7518),
    "gelu_approx": (True, True, False, True, -0.17004, -0.7524),
    "gelu_fast_approx": (True, True, False, True, -0.16361, -0.7511),
    "keras_gelu_approx": (True, True, False, True, -0.17004, -0.7524),
    "relu": (False, False, True, False, 0.0, None),
    "silu": (True, True, False, True, -0.27846, -1.2785),
    "relu2": (False, True, True, False, 0.0, None),
    "mish": (True, True, False, True, -0.30884, -1.1924),
    "identity": (True, True, True, True, None, None),
}


@pytest.mark.parametrize("name", REGISTRY)
def test_the_registry(name: str) -> None:
    of = properties(parse_variant(name))
    smooth, differentiable, monotonic, negative, value, place = KNOWN[name]
    assert (of.smooth, of.differentiable) == (smooth, differentiable)
    assert (of.monotonic, of.negative) == (monotonic, negative)
    if value is None:
        assert of.minimum is None, "it goes on falling"
    elif place is None:
        assert of.minimum == Minimum(0.0, -6.0, 0.0), "the flat part, up to 0"
    else:
        assert of.minimum is not None and of.minimum.low == of.minimum.high
        assert (of.minimum.value, of.minimum.low) == pytest.approx((value, place), abs=2e-4)


@pytest.mark.parametrize(
    ("formula", "minimum"),
    [
        ("7", Minimum(7.0, -6.0, 6.0)),
        ("max(0,-x)", Minimum(0.0, 0.0, 6.0)),
        ("max(abs(x)-1,0)", Minimum(0.0, -1.0, 1.0)),
        ("(x-1)*(x-1)", Minimum(0.0, 1.0, 1.0)),
        ("softplus(x)", None),  # falls towards 0 for ever
        ("1/(x*x+0.0001)", None),  # to both sides
    ],
)
def test_minima(formula: str, minimum: Minimum | None) -> None:
    assert properties(parse_variant(f"f={formula}")).minimum == minimum


@given(
    st.sampled_from([name for name in REGISTRY if name != "gelu"]),
    st.floats(-30, 30),
    st.floats(0.01, 30),
)
@settings(max_examples=60, deadline=None)
def test_the_error_of_a_range_is_the_largest_in_it(name: str, low: float, width: float) -> None:
    variant = parse_variant(name)
    error = properties(variant, low, low + width).error
    assert error is not None
    xs = np.linspace(low, low + width, 9001)
    assert error.value >= np.abs(difference(variant, xs)).max() * (1 - 1e-9)
    assert math.isclose(abs(float(difference(variant, error.at))), error.value, rel_tol=1e-9)
    assert low <= error.at <= low + width
    if error.both_sides:
        assert low <= -error.at and error.at > 0


def test_the_usual_range_gives_what_any_range_gives() -> None:
    usual = properties(parse_variant("gelu_fast_approx")).error
    close = properties(parse_variant("gelu_fast_approx"), -6.0, 6.001).error
    assert usual is not None and close is not None and usual.both_sides
    assert (usual.value, usual.at) == pytest.approx((close.value, close.at), abs=1e-3)


def test_a_formula_that_is_not_finite_beyond_what_was_tried() -> None:
    root = parse_variant("a=sqrt(x+61)")
    of = properties(root, -100.0, 100.0)
    assert of.error == LargestError(pytest.approx(100 - math.sqrt(161)), 100.0, False)
    assert of.undefined_at == pytest.approx(-61, abs=0.05)
    nowhere = properties(root, -100.0, -70.0)
    assert (nowhere.error, nowhere.undefined_at) == (None, -70.0)
    assert properties(root).undefined_at is None


@pytest.mark.parametrize(("text", "found"), [("-6,6", (-6, 6)), (" −1.5 , 2e1", (-1.5, 20))])
def test_ranges(text: str, found: tuple[float, float]) -> None:
    assert parse_range(text) == found


NO_RANGES = ("", "6", "6,", "a,b", "1,2,3", "6,-6", "0,0", "nan,1", "0,nan", "-inf,0", "0,1e9",
             "1,1.0000001")  # fmt: skip


@pytest.mark.parametrize("text", NO_RANGES)
def test_what_is_no_range(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        parse_range(text)
    assert refused.value.info.kind == "range" and refused.value.info.hint

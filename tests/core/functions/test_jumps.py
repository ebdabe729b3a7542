"""Where functions are not smooth: planted jumps are found, and smooth functions have none."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gelu_tui.core.functions.jumps import HIGHEST, Jump, first_jump
from gelu_tui.core.functions.registry import REGISTRY
from gelu_tui.core.functions.variants import parse_variant


def jump_of(spec: str) -> Jump | None:
    return first_jump(parse_variant(spec).node)


@given(st.integers(0, HIGHEST), st.integers(-500, 500), st.sampled_from((-8, -1, 1, 3, 40)))
@settings(max_examples=60)
def test_a_jump_that_is_planted_is_found(derivative: int, hundredths: int, size: int) -> None:
    at = hundredths / 100
    planted = f"where(x-({at}),({size})*(x-({at}))**{derivative},0)"
    found = jump_of(f"f=gelu(x)+{planted}")
    assert found is not None and found.derivative == derivative
    assert found.at == pytest.approx(at, abs=2e-3)


@given(st.floats(0.05, 1000), st.floats(-3, 3), st.sampled_from(("sigmoid", "tanh", "erf")))
@settings(max_examples=60)
def test_steep_functions_are_smooth(steepness: float, place: float, name: str) -> None:
    assert jump_of(f"f=x*{name}({steepness!r}*(x-({place!r})))") is None


@pytest.mark.parametrize(
    ("name", "derivative"),
    [(name, {"relu": 1, "relu2": 2}.get(name)) for name in REGISTRY],
)
def test_those_of_the_registry(name: str, derivative: int | None) -> None:
    assert jump_of(name) == (None if derivative is None else Jump(derivative, 0.0))


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("sqrt(abs(x))", Jump(1, 0.0)),  # infinitely steep
        ("1/(x-1/3)", Jump(0, 0.3333)),  # a pole between the points of the grid
        ("where(x,x,exp(x)-1)", Jump(2, 0.0)),  # ELU
        ("x*min(max(x+3,0),6)/6", Jump(1, 3.0)),  # two kinks: the larger one
        ("abs(x)*abs(x)", None),
        ("10*exp(x)", None),  # large values: rounding alone is larger there
        ("7", None),
    ],
)
def test_others(formula: str, expected: Jump | None) -> None:
    assert jump_of(f"f={formula}") == expected

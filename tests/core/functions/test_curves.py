"""Curves and the facts beside them, held against the definition at a point."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gelu_tui.core.functions.curves import EXACT, curve, difference, is_exact, same, slope
from gelu_tui.core.functions.jumps import Jump
from gelu_tui.core.functions.numpy_operations import values
from gelu_tui.core.functions.registry import REGISTRY
from gelu_tui.core.functions.variants import parse_variant
from gelu_tui.tui.functions.curve_views import VIEWS, draw, facts, small_curve
from gelu_tui.tui.widgets.plot import ASCII, BRAILLE, HALVES, LABEL, MARK
from tests.support.python_floats import at_a_point

OWN = (
    "a=x*sigmoid(1.773*x)",
    "b=where(x-1,min(x,2),-x)",
    "c=max(0,x)**2+abs(x)-sqrt(abs(x))",
    "d=log(1+exp(x))*softplus(x)/(e+pi)",
    "e_=7",
    "f=exp(-x*x)*erf(x)",
    "g=-gelu(-mish(x))",
)
ALL = (*REGISTRY, *OWN)


@pytest.mark.parametrize("spec", ALL)
def test_arrays_and_points_agree(spec: str) -> None:
    variant = parse_variant(spec)
    xs = np.linspace(-60, 60, 481)
    points = [at_a_point(variant.node, float(x)) for x in xs]
    np.testing.assert_allclose(values(variant.node, xs), points, rtol=1e-11, atol=1e-13)


def test_where_there_is_no_finite_value() -> None:
    # Accepted formulas are finite within [−60, 60]; beyond it nothing is promised.
    variant = parse_variant("a=sqrt(x+61)")
    found = values(variant.node, [-100.0, 3.0])
    assert math.isnan(found[0]) and found[1] == 8


def test_the_slope() -> None:
    xs = np.array([-2.0, -0.5, 0.0, 1.0])
    square = parse_variant("s=x*x")
    np.testing.assert_allclose(slope(square, xs), 2 * xs, atol=1e-8)
    assert slope(parse_variant("relu"), 0.0) == pytest.approx(0.5)


@pytest.mark.parametrize("name", REGISTRY)
def test_the_error_is_the_largest_at_any_point(name: str) -> None:
    definition, exact = (REGISTRY[n].definition for n in (name, "gelu"))
    error, at = max(
        (abs(at_a_point(definition, x) - at_a_point(exact, x)), x)
        for x in (step / 256 for step in range(-6 * 256, 6 * 256 + 1))
    )
    found = curve(parse_variant(name))
    assert found.error == pytest.approx(error, rel=1e-3, abs=1e-15)
    if error:
        assert found.error_at == pytest.approx(at, abs=5e-3) or (
            found.symmetric and found.error_at == pytest.approx(-at, abs=5e-3)
        )


@pytest.mark.parametrize(
    ("name", "rms"),
    [("gelu_approx", 1.29e-4), ("gelu_fast_approx", 6.9e-3), ("silu", 0.0995), ("relu", 0.127)],
)
def test_the_rms_error_at_the_normal_distribution(name: str, rms: float) -> None:
    assert curve(parse_variant(name)).rms == pytest.approx(rms, rel=5e-3)


@pytest.mark.parametrize(
    ("spec", "monotonic", "jump", "lowest"),
    [
        ("gelu", False, None, -0.16997),
        ("relu", True, Jump(1, 0.0), 0.0),
        ("relu2", True, Jump(2, 0.0), 0.0),
        ("silu", False, None, -0.27846),
        ("identity", True, None, -6.0),
        ("down=-x", True, None, -6.0),
        ("between=max(x,0.3*x+0.123)", True, Jump(1, 0.1757), -1.677),
        ("step=where(x-1,2,0)", True, Jump(0, 1.0), 0.0),
        ("steep=x*sigmoid(1000*x)", False, None, -2.785e-4),
    ],
)
def test_facts(spec: str, monotonic: bool, jump: Jump | None, lowest: float) -> None:
    found = curve(parse_variant(spec))
    assert found.monotonic is monotonic
    assert found.jump == jump
    assert found.lowest == pytest.approx(lowest, abs=1e-5)


def test_controls_are_found() -> None:
    registry = {name: curve(parse_variant(name)) for name in REGISTRY}
    assert same(registry["keras_gelu_approx"], registry["gelu_approx"])
    again = curve(parse_variant("again=gelu(x)"))
    assert same(again, registry["gelu"]) and is_exact(again)
    assert not same(registry["gelu_approx"], registry["gelu"])
    assert not is_exact(registry["gelu_approx"])
    twins = facts(registry["keras_gelu_approx"], registry.values())
    assert "control of gelu_approx" in twins
    assert not [f for f in facts(registry["relu"], registry.values()) if "control" in f]


def test_the_facts_in_words() -> None:
    assert facts(curve(parse_variant("gelu_fast_approx"))) == [
        "max error 0.0203 at x = ±2.27",
        "RMS error 0.00691 at N(0,1)",
        "smooth · not monotonic",
        "lowest −0.164 at x = −0.75",
    ]
    assert facts(curve(parse_variant("relu")))[2] == "not smooth at x = 0 · monotonic"
    squared = facts(curve(parse_variant("relu2")))
    assert squared[2] == "differentiable, not smooth at x = 0 · monotonic"
    assert facts(curve(parse_variant("identity")))[2:] == ["smooth · monotonic", "negative outputs"]
    assert facts(curve(EXACT))[0] == "no error: this is exact GELU"
    assert facts(curve(parse_variant("relu2")))[0] == "max error 30 at x = 6, of |x| ≤ 6"


@given(
    st.sampled_from(ALL),
    st.sampled_from(VIEWS),
    st.integers(0, 120),
    st.integers(0, 40),
    st.sampled_from([BRAILLE, HALVES, ASCII]),
)
def test_a_view_fits_into_its_box(spec, view, width, height, dots) -> None:
    rows = draw(curve(parse_variant(spec)), view, width, height, dots)
    assert len(rows) == (height if height >= 4 and width >= 16 else 0)
    for row in rows[1:]:
        assert sum(len(run.text) for run in row) == width
    assert all(sum(len(run.text) for run in row) <= max(width, 32) for row in rows[:1])


@given(st.sampled_from(ALL), st.integers(1, 30), st.integers(1, 4))
def test_a_small_curve_fits_into_its_box(spec: str, width: int, height: int) -> None:
    rows = small_curve(curve(parse_variant(spec)), width, height, BRAILLE)
    assert [sum(len(run.text) for run in row) for row in rows] == [width] * height


def test_the_largest_error_is_marked_where_it_is() -> None:
    rows = draw(curve(parse_variant("gelu_fast_approx")), "difference", 48, 12, BRAILLE)
    marks = [row for row in rows[1:] for run in row if run.style == MARK]
    assert len(marks) == 2, "at −2.27 and at 2.27"
    peak = float(difference(parse_variant("gelu_fast_approx"), 2.27))
    assert peak == pytest.approx(-0.0203, abs=1e-4)


def test_ascii_is_ascii() -> None:
    rows = draw(curve(parse_variant("silu")), "curve", 60, 12, ASCII)
    drawn = "".join(run.text for row in rows for run in row if run.style != LABEL)
    assert drawn.isascii()

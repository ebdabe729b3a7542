"""The lab's drawings: samples of any arithmetic, in any box, and what tells curves apart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gelu_tui.core.functions.curves import difference, slope
from gelu_tui.core.functions.numpy_operations import values
from gelu_tui.core.functions.registry import REGISTRY
from gelu_tui.core.functions.variants import parse_variant
from gelu_tui.tui.lab.curve_samples import (
    EXACTLY,
    VIEWS,
    Arithmetic,
    Samples,
    answered,
    arithmetics,
    asked,
    computed,
    fitting,
    wanted_range,
)
from gelu_tui.tui.lab.curve_views import Drawing, Shown, draw_view
from gelu_tui.tui.widgets.bars import Histogram
from gelu_tui.tui.widgets.plot import ASCII, BRAILLE, HALVES
from tests.support.functions_engine import function_values

X = (-4.0, 4.0)
ALL = [parse_variant(spec) for spec in (*REGISTRY, "root=sqrt(x+61)", "seven=7")]
BFLOAT16 = Arithmetic("bfloat16", "model")


def engine_samples(arithmetic: Arithmetic, x: tuple[float, float] = X) -> Samples:
    limits = wanted_range(x)
    return answered(ALL, limits, function_values(asked(ALL, limits, arithmetic)))


SAMPLES = {
    "float64": computed(ALL, wanted_range(X)),
    "float32": engine_samples(Arithmetic("float32")),
    "bfloat16": engine_samples(BFLOAT16),
}


def text(drawing: Drawing | None) -> str:
    assert drawing is not None
    return "\n".join("".join(run.text for run in row) for row in drawing.rows)


@given(
    st.sampled_from(VIEWS),
    st.sampled_from(sorted(SAMPLES)),
    st.lists(st.sampled_from(ALL), max_size=8, unique=True),
    st.floats(-4, 3.9),
    st.floats(0.001, 4),
    st.integers(0, 200),
    st.integers(0, 40),
    st.sampled_from([BRAILLE, HALVES, ASCII]),
    st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_any_drawing_fits_into_its_box(
    view, kind, variants, low, width_of_x, width, height, dots, has_bars
) -> None:
    shown = [Shown(variant, place) for place, variant in enumerate(variants)]
    histogram = Histogram([-1, 0, 2], [3, 5], "inputs") if has_bars else None
    x = (low, low + width_of_x)
    drawing = draw_view(view, SAMPLES[kind], shown, x, width, height, dots, cursor=low,
                        histogram=histogram)  # fmt: skip
    if drawing is None:
        assert height < 10 or width < 60
        return
    assert len(drawing.rows) == height
    assert (drawing.window.left, drawing.window.right) == x
    plot = drawing.rows[drawing.first : drawing.first + drawing.height]
    for row in plot:
        assert sum(len(run.text) for run in row) <= width
    if dots is ASCII:
        assert text(drawing).isascii()


def test_each_curve_has_its_sign_and_its_name() -> None:
    shown = [Shown(variant, place) for place, variant in enumerate(ALL[:8])]
    drawn = text(draw_view("derivative", SAMPLES["float64"], shown, X, 120, 30, BRAILLE))
    for each in shown:
        assert f"{each.sign} {each.variant.name}" in drawn
        assert drawn.count(each.sign) >= 2, "on the curve, too"


def test_samples_are_the_functions() -> None:
    xs = np.linspace(-4, 4, 77)
    for variant in ALL:
        for view, expected in zip(
            VIEWS[:3], (values(variant.node, xs), slope(variant, xs), difference(variant, xs)),
            strict=True,
        ):  # fmt: skip
            found = SAMPLES["float64"].at(variant, view, xs)
            away = abs(xs) > 0.01  # from kinks
            np.testing.assert_allclose(found[away], expected[away], atol=1e-4)
        with np.errstate(divide="ignore"):
            logarithm = np.log10(np.abs(SAMPLES["float64"].at(variant, "error", xs)))
        np.testing.assert_array_equal(SAMPLES["float64"].at(variant, "log error", xs), logarithm)


def test_a_coarse_dtype_shows_as_steps() -> None:
    samples, gelu = SAMPLES["bfloat16"], ALL[0]
    xs = np.linspace(2.0, 2.125, 1000)
    assert len(set(samples.at(gelu, "value", xs))) <= 10, "x of bfloat16 are 1/64 apart here"
    assert len(set(SAMPLES["float64"].at(gelu, "value", xs))) == 1000


def test_float32_shows_as_steps_where_one_looks_closely() -> None:
    close = (2.0, 2.00001)
    samples = engine_samples(Arithmetic("float32"), close)
    assert samples.is_coarse and not SAMPLES["float32"].is_coarse
    found = samples.at(ALL[0], "value", np.linspace(*close, 400))
    assert 30 < len(set(found)) < 60, "x of float32 are 2.4e-7 apart here"
    drawn = text(draw_view("value", samples, [Shown(ALL[0], 0)], close, 100, 14, BRAILLE))
    assert "2.000002" in drawn.splitlines()[-1], "labels that differ"


def test_gaps_where_a_function_is_not_finite() -> None:
    root = parse_variant("root=sqrt(x+61)")
    samples = computed([root], wanted_range((-70.0, -50.0)))
    found = samples.at(root, "value", np.array([-65.0, -55.0]))
    assert np.isnan(found[0]) and found[1] == pytest.approx(np.sqrt(6), abs=1e-3)
    drawing = draw_view("value", samples, [Shown(root, 0)], (-70.0, -50.0), 80, 14, BRAILLE)
    for row in drawing.rows[1:-1]:
        left = "".join(run.text for run in row)[9:30]
        assert not left.replace("─", "").strip(), "nothing is drawn left of −61"


def test_what_cannot_be_drawn_of_what_is_not_known() -> None:
    samples = computed([ALL[0]], wanted_range(X))
    assert np.isnan(samples.at(ALL[1], "value", np.zeros(3))).all()
    assert np.isnan(samples.at(ALL[0], "value", np.array([99.0]))).all(), "beyond the samples"
    assert draw_view("value", samples, [Shown(ALL[1], 0)], X, 80, 14, BRAILLE) is not None


@pytest.mark.parametrize(
    ("view", "low", "high"),
    [("value", -5, 5), ("derivative", -1.2, 2.2), ("error", -0.3, 0.3), ("log error", -10, 2)],
)
def test_no_single_function_flattens_the_others(view, low: float, high: float) -> None:
    xs = np.linspace(*X, 400)
    names = ["gelu_approx", "silu", "relu2"]
    curves = [SAMPLES["float64"].at(parse_variant(name), view, xs) for name in names]
    bottom, top = fitting(view, curves, X)
    assert low <= bottom < top <= high


def test_samples_serve_near_moves_and_no_others() -> None:
    samples, variants = SAMPLES["float64"], ALL[:2]
    assert samples.serves(EXACTLY, variants, X)
    assert samples.serves(EXACTLY, variants, (-5.0, 3.0))
    assert not samples.serves(EXACTLY, variants, (-9.0, -1.0)), "too far"
    assert not samples.serves(EXACTLY, variants, (0.0, 0.5)), "too coarse"
    assert not samples.serves(BFLOAT16, variants, X)
    assert not samples.serves(EXACTLY, [parse_variant("new=x")], X)


def test_what_functions_can_be_looked_at_in() -> None:
    words = [[way.words for way in arithmetics(dtype)] for dtype in ("float16", "float32", None)]
    assert words[0] == ["float32", "float16", "float16 throughout", "float64"]
    assert words[1] == words[2] == ["float32", "bfloat16", "bfloat16 throughout", "float64"]

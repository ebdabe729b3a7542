"""Counted inputs against numpy over the inputs themselves."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gelu_tui.engine.compute.input_counts import Counts, Grid, count, held

GRIDS = {dtype: Grid(dtype) for dtype in ("float32", "bfloat16", "float16")}


def drawn(seed: int, size: int, scale: float, shift: float, dtype: str) -> tuple[mx.array, ...]:
    """x and u of a dtype, evaluated."""
    random = np.random.default_rng(seed)
    x = random.standard_normal(size) * scale + shift
    x[random.random(size) < 0.1] = 0.0
    u = random.standard_normal(size) * 3
    made = tuple(mx.array(a.astype(np.float32)).astype(getattr(mx, dtype)) for a in (x, u))
    mx.eval(*made)
    return made


def wide(array: mx.array) -> np.ndarray:
    return np.array(array.astype(mx.float32)).astype(np.float64)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 4000),
    st.sampled_from([1e-6, 0.03, 1.0, 8.0, 1000.0]),
    st.sampled_from([0.0, -2.0, 100.0]),
    st.sampled_from([*GRIDS]),
)
def test_figures_are_those_of_the_inputs(
    seed: int, size: int, scale: float, shift: float, dtype: str
) -> None:
    grid = GRIDS[dtype]
    x, u = drawn(seed, size, scale, shift, dtype)
    counts = Counts.none(grid)
    cut = size // 3
    for part in (slice(0, cut), slice(cut, size)):
        if part.stop > part.start:
            xs, us = x[part], u[part]
            mx.eval(xs, us)
            counts.add(count(grid, held(xs), held(us)))
    plain, factor = wide(x), wide(u)
    assert counts.is_finite
    assert counts.total == size
    assert (counts.minimum, counts.maximum) == (plain.min(), plain.max())
    mean, std = counts.moments()
    assert mean == pytest.approx(plain.mean(), rel=1e-9, abs=1e-9 * scale)
    assert std == pytest.approx(plain.std(), rel=1e-6, abs=1e-5 * abs(shift))
    assert counts.weights.sum() == pytest.approx((factor**2).sum(), rel=1e-9)
    shares = (0.001, 0.005, 0.25, 0.5, 0.995, 1.0)
    for share, quantile in zip(shares, counts.quantiles(shares), strict=True):
        exact = np.quantile(plain, share, method="inverted_cdf")
        near = 0 if grid.is_exact else 2**-7 * abs(exact)
        assert abs(quantile - exact) <= near
    edges, bins = counts.histogram()
    assert bins.sum() == size and bins[0] > 0 and bins[-1] > 0
    assert np.all(np.diff(edges) > 0)
    # A number in the middle between two values belongs to either bin, by the parity of its bits.
    on_edge = int(np.isin(plain, edges).sum())
    assert np.abs(np.histogram(plain, edges)[0] - bins).sum() <= 2 * on_edge


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_each_number_belongs_to_the_value_that_mlx_rounds_it_to(dtype: str) -> None:
    random = np.random.default_rng(1)
    numbers = np.concatenate(
        (
            random.standard_normal(5000) * 10.0 ** random.integers(-3, 4, 5000),
            [0.0, -0.0, 1.00390625],
        )
    ).astype(np.float32)
    rounded = mx.array(numbers).astype(getattr(mx, dtype))
    bits = np.array(mx.view(rounded, mx.uint16))
    assert np.array_equal(GRIDS[dtype].bits(numbers), bits)


def test_a_grid_has_every_finite_value_once_in_order() -> None:
    grid = GRIDS["bfloat16"]
    assert len(grid.values) == 2 * 255 * 128 - 1
    assert np.all(np.diff(grid.values) > 0) and grid.values[grid.zero] == 0
    assert np.all(grid.low[1:] == grid.high[:-1])
    assert np.all((grid.low[1:-1] < grid.values[1:-1]) & (grid.values[1:-1] < grid.high[1:-1]))
    near = np.abs(grid.values) > 1e-30
    spacing = (grid.high - grid.low)[near] / np.abs(grid.values)[near]
    assert spacing[1:-1].max() <= 2**-7


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [*GRIDS])
@pytest.mark.parametrize("which", ["x", "u"])
def test_what_is_no_number_is_noticed(bad: float, dtype: str, which: str) -> None:
    good = mx.array([1.0, -2.0, 0.5]).astype(getattr(mx, dtype))
    odd = mx.array([1.0, bad, 0.5]).astype(getattr(mx, dtype))
    mx.eval(good, odd)
    x, u = (odd, good) if which == "x" else (good, odd)
    assert count(GRIDS[dtype], held(good), held(good)).is_finite
    assert not count(GRIDS[dtype], held(x), held(u)).is_finite


def test_memory_does_not_depend_on_how_many_there_are() -> None:
    grid = GRIDS["float32"]
    sizes = {len(count(grid, held(x), held(x)).inputs) for x in (mx.zeros(3), mx.zeros(30_000))}
    assert sizes == {len(grid.values)}

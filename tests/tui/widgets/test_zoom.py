"""Zooming and moving: the place under the cursor stays, and nobody gets lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gelu_tui.tui.widgets.zoom import Zoom

MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("zoom"), st.floats(0.01, 100), st.floats(0, 1)),
        st.tuples(st.just("pan"), st.floats(-5, 5), st.just(0.0)),
        st.tuples(st.just("show"), st.floats(-1000, 1000), st.just(0.0)),
    ),
    max_size=40,
)


@given(MOVES)
def test_any_moves_leave_a_range_that_can_be_drawn(moves: list[tuple[str, float, float]]) -> None:
    zoom = Zoom((-4.0, 4.0))
    for kind, amount, place in moves:
        low, high = zoom.x
        match kind:
            case "zoom":
                zoom.zoom_x(amount, low + place * (high - low))
            case "pan":
                zoom.pan_x(amount)
            case "show":
                zoom.show_x(amount)
                assert zoom.x[0] - 1e-9 <= amount <= zoom.x[1] + 1e-9
        assert -1000.001 <= zoom.x[0] < zoom.x[1] <= 1000.001
        assert zoom.x[1] - zoom.x[0] >= 0.9e-5
    zoom.reset()
    assert (zoom.x, zoom.y) == ((-4.0, 4.0), None)


@given(st.floats(-4, 4), st.floats(0.1, 3))
def test_what_is_zoomed_around_keeps_its_place(x: float, factor: float) -> None:
    zoom = Zoom((-4.0, 4.0))
    before = (x - zoom.x[0]) / 8
    zoom.zoom_x(factor, x)
    low, high = zoom.x
    assert (x - low) / (high - low) == pytest.approx(before)
    assert high - low == pytest.approx(8 * factor)


def test_y_follows_until_it_is_moved() -> None:
    zoom = Zoom((-4.0, 4.0))
    assert zoom.y is None
    zoom.zoom_y(0.5, (-2.0, 6.0))
    assert zoom.y == (-1.0, 3.0), "0 keeps its place"
    zoom.zoom_y(0.5, (2.0, 6.0))
    assert zoom.y == (3.0, 5.0)
    zoom.pan_y(0.25, (3.0, 5.0))
    assert zoom.y == (3.5, 5.5)
    for _ in range(200):
        zoom.zoom_y(0.5, zoom.y)
    assert zoom.y[0] < zoom.y[1]

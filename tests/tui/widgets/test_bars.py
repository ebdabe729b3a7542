"""Histograms: as wide and high as asked, the highest where most values are, none lost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gelu_tui.tui.widgets.bars import Histogram, bars
from gelu_tui.tui.widgets.plot import ASCII, BRAILLE, HALVES, Dots, Window

DOTS = (BRAILLE, HALVES, ASCII)


def drawn(histogram: Histogram, width: int, height: int, dots: Dots = BRAILLE) -> list[str]:
    window = Window(-2, 2, 0, 1)
    return [
        "".join(run.text for run in row) for row in bars(histogram, window, width, height, dots)
    ]


@given(
    st.lists(st.floats(-5, 5), min_size=2, max_size=30, unique=True).map(sorted),
    st.data(),
    st.integers(1, 60),
    st.integers(1, 8),
    st.sampled_from(DOTS),
)
def test_any_histogram_fits_into_its_box(edges, data, width, height, dots) -> None:
    counts = data.draw(st.lists(st.integers(0, 10**12), min_size=len(edges) - 1,
                                max_size=len(edges) - 1))  # fmt: skip
    rows = drawn(Histogram(edges, counts), width, height, dots)
    assert [len(row) for row in rows] == [width] * height
    borders = np.linspace(-2, 2, width + 1)
    for column in range(width):
        held = [c for c, low, high in zip(counts, edges, edges[1:], strict=False)
                if low < borders[column + 1] and high > borders[column]]  # fmt: skip
        if not any(held):
            assert rows[-1][column] == " "


@pytest.mark.parametrize("dots", DOTS)
def test_heights_are_shares_of_the_highest(dots: Dots) -> None:
    rows = drawn(Histogram([-2, -1, 0, 1, 2], [4, 8, 0, 1]), 4, 8, dots)
    heights = [sum(row[column] != " " for row in rows) for column in range(4)]
    assert heights == [4, 8, 0, 1]


def test_one_value_among_many_is_seen() -> None:
    rows = drawn(Histogram([-2, -1, 0, 1, 2], [1, 10**9, 0, 0]), 4, 3)
    assert rows[-1] == "▁█  "

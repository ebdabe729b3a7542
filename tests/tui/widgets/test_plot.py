"""Drawing with dots: inside of the box, whole, in order, told apart."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gelu_tui.tui.widgets.plot import (
    ASCII,
    BLANK,
    BRAILLE,
    HALVES,
    MARK,
    Dots,
    Layer,
    Window,
    dot_columns,
    dots_for,
    labelled,
    number,
    plot,
)

DOTS = st.sampled_from([BRAILLE, HALVES, ASCII])
ANY = st.one_of(st.floats(), st.floats(-3, 3), st.sampled_from([math.nan, math.inf, -math.inf]))
PATTERNS = st.sampled_from(["solid", "dotted"])
WINDOW = Window(-2, 2, -1, 1)


def text(rows: list[list]) -> list[str]:
    return ["".join(run.text for run in row) for row in rows]


def raster(rows: list[list], dots: Dots) -> list[list[bool]]:
    """The single dots of a drawing without axes."""
    lines = []
    for line in text(rows):
        masks = [dots.glyphs.index(glyph) if glyph != " " else 0 for glyph in line]
        for row in range(dots.rows):
            bits = range(row * dots.columns, (row + 1) * dots.columns)
            lines.append([bool(mask >> bit & 1) for mask in masks for bit in bits])
    return lines


def test_braille_is_unicodes() -> None:
    assert BRAILLE.glyphs[0] == "\u2800" and BRAILLE.glyphs[255] == "\u28ff"
    assert BRAILLE.glyphs[1] == "⠁" and BRAILLE.glyphs[2] == "⠈" and BRAILLE.glyphs[64] == "⡀"


@given(
    st.lists(st.tuples(st.lists(ANY, max_size=60), PATTERNS), max_size=3),
    st.integers(1, 30),
    st.integers(1, 12),
    DOTS,
    st.booleans(),
    st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), max_size=2),
)
def test_never_outside_of_the_box(layers, width, height, dots, axes, marks) -> None:
    count = width * dots.columns
    drawn = plot(
        [Layer(values[:count], str(i), pattern) for i, (values, pattern) in enumerate(layers)],
        WINDOW,
        width,
        height,
        dots=dots,
        axes=axes,
        marks=marks,
    )
    assert [len(line) for line in text(drawn)] == [width] * height


@given(
    st.lists(st.floats(-4, 4), min_size=1, max_size=40),
    st.integers(1, 10),
    st.sampled_from([BRAILLE, HALVES]),
)
def test_a_rising_curve_rises_in_the_raster_without_gaps(values, height, dots) -> None:
    values = sorted(values)
    width = math.ceil(len(values) / dots.columns)
    drawn = plot([Layer(values, "f")], WINDOW, width, height, dots=dots, axes=False)
    columns = list(zip(*raster(drawn, dots), strict=True))
    spans = [[row for row, dot in enumerate(column) if dot] for column in columns]
    for span in spans:
        assert span == list(range(span[0], span[-1] + 1)) if span else True
    shown = [span for span in spans if span]
    for left, right in pairwise(shown):
        assert right[0] <= left[0] and right[-1] <= left[-1], "the top is row 0"
        assert left[0] - right[-1] <= 1, "connected"
    inside = [index for index, value in enumerate(values) if -1 < value < 1]
    assert all(spans[index] for index in inside)


@given(st.lists(ANY, min_size=1, max_size=40))
def test_what_is_not_a_number_is_a_gap(values) -> None:
    drawn = plot([Layer(values, "f")], WINDOW, len(values), 5, dots=HALVES, axes=False)
    columns = list(zip(*raster(drawn, HALVES), strict=True))
    for index, value in enumerate(values):
        if math.isnan(value) and (index + 1 == len(values) or math.isnan(values[index + 1])):
            assert not any(columns[index])


def test_a_curve_hides_those_below_it_and_patterns_differ() -> None:
    flat = [0.1] * 20
    both = plot([Layer(flat, "f"), Layer(flat, "g", "dotted")], WINDOW, 10, 3, axes=False)
    assert {run.style for row in both for run in row} == {"f", BLANK}
    solid = plot([Layer(flat, "f")], WINDOW, 10, 3, axes=False)
    dotted = plot([Layer(flat, "f", "dotted")], WINDOW, 10, 3, axes=False)
    assert text(both) == text(solid) != text(dotted)
    for pattern, mark in (("solid", "*"), ("dotted", ".")):
        layer = Layer([0.1] * 10, "f", pattern)
        assert mark in "".join(text(plot([layer], WINDOW, 10, 3, dots=ASCII, axes=False)))


def test_axes_labels_and_marks() -> None:
    layer = Layer(dot_columns(WINDOW, 21, ASCII), "f")
    drawn = plot([layer], WINDOW, 21, 5, dots=ASCII, marks=[(1.0, 0.5), (9, 0)])
    assert sum(run.style == MARK for row in drawn for run in row) == 1
    lines = text(labelled(drawn, WINDOW, 21, 6))
    assert [len(line) for line in lines] == [27] * 6
    assert [line[:6].strip() for line in lines] == ["1", "", "0", "", "−1", ""]
    assert lines[-1].split() == ["−2", "0", "2"]


@given(st.integers(1, 60), st.integers(1, 12), st.floats(-5, 4), st.floats(0.1, 9))
def test_labels_keep_the_width(width, height, bottom, size) -> None:
    window = Window(-4, 4, bottom, bottom + size)
    drawn = labelled(plot([], window, width, height), window, width, 8)
    assert [len(line) for line in text(drawn)] == [8 + width] * (height + 1)


@pytest.mark.parametrize(
    ("value", "label"),
    [(0, "0"), (3, "3"), (-0.5, "−0.5"), (0.0203, "0.0203"), (4.73e-4, "4.7e−4"), (12345, "1.2e4")],
)
def test_numbers(value: float, label: str) -> None:
    assert number(value) == label


def test_the_terminal_decides_on_the_dots() -> None:
    assert dots_for("utf-8", "xterm-256color") is BRAILLE
    assert dots_for("UTF8", "linux") is HALVES
    assert dots_for("latin-1", "xterm") is ASCII
    assert dots_for(None, None) is ASCII

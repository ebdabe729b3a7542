"""The KL sparkline: its scale, its buckets, its steadiness."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gelu_tui.tui.compare.sparkline import LEVELS, MISSING, ZERO, bucket_size, sparkline

KL = st.one_of(st.none(), st.just(0.0), st.floats(0, 20), st.floats(allow_nan=True))
SERIES = st.lists(KL, max_size=300)
WIDTH = st.integers(1, 40)
ORDER = MISSING + ZERO + LEVELS


@pytest.mark.parametrize(
    ("value", "glyph"),
    [
        (None, "─"),
        (math.nan, "─"),
        (0.0, "·"),
        (-1e-9, "▁"),
        (9e-7, "▁"),
        (1.1e-6, "▂"),
        (2e-3, "▅"),
        (0.5, "▇"),
        (1.0, "█"),
        (40.0, "█"),
        (math.inf, "█"),
        (5e-324, "▁"),
    ],
)
def test_a_glyph_is_a_decade(value: float | None, glyph: str) -> None:
    assert sparkline([value], 5) == glyph


def test_a_bucket_shows_its_largest_value() -> None:
    assert sparkline([0.0, None, 2e-3, 1e-8], 1) == "▅"
    assert sparkline([0.0, None], 1) == "·"
    assert sparkline([0.0, -1e-9], 1) == "▁", "a negative KL is not exactly 0"


def test_the_noise_floor_is_the_lowest_level() -> None:
    assert sparkline([1e-4, 2e-4, 0.0, 3e-4], 9, noise_floor=2e-4) == "▁▁·▄"


def test_no_room_and_no_values() -> None:
    assert sparkline([1.0], 0) == ""
    assert sparkline([], 5) == ""


def test_every_glyph_has_one_meaning() -> None:
    assert len(set(ORDER)) == len(ORDER) == 10


@given(SERIES, WIDTH)
def test_as_wide_as_its_buckets_and_never_wider(values: list[float | None], width: int) -> None:
    line = sparkline(values, width)
    assert len(line) == math.ceil(len(values) / bucket_size(len(values), width)) <= width
    assert len(line) > width // 2 or len(values) <= width
    assert set(line) <= set(ORDER)


@given(SERIES, WIDTH, KL)
def test_growing_changes_only_the_last_glyph_unless_buckets_double(
    values: list[float | None], width: int, new: float | None
) -> None:
    before, after = sparkline(values, width), sparkline([*values, new], width)
    size, grown = bucket_size(len(values), width), bucket_size(len(values) + 1, width)
    if grown == size:
        kept = len(values) // size
        assert after[:kept] == before[:kept]
        assert len(after) - len(before) in (0, 1)
    else:
        assert grown == 2 * size
        pairs = [max(before[i : i + 2], key=ORDER.index) for i in range(0, len(before) - 1, 2)]
        assert list(after[: len(pairs)]) == pairs


@given(st.lists(KL, min_size=1, max_size=60), WIDTH, st.integers(0, 59), st.floats(0, 20))
def test_a_larger_value_never_draws_lower(
    values: list[float | None], width: int, at: int, more: float
) -> None:
    larger = list(values)
    at %= len(values)
    larger[at] = abs(values[at] or 0.0) + more
    if math.isnan(larger[at] or 0.0):
        return
    before, after = sparkline(values, width), sparkline(larger, width)
    assert all(ORDER.index(a) >= ORDER.index(b) for a, b in zip(after, before, strict=True))


@given(st.floats(0, 20), st.floats(0, 1))
def test_at_or_below_the_noise_floor_nothing_rises(value: float, floor: float) -> None:
    glyph = sparkline([value], 1, noise_floor=floor)
    if value <= floor:
        assert glyph in (ZERO, LEVELS[0])
    else:
        assert glyph == sparkline([value], 1)

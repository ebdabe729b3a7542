"""Wrapping: no text lost, no row too wide, and appending is wrapping the whole."""

from __future__ import annotations

import re
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gelu_tui.tui.text_view.wrapping import cells, wrap

ODD = [
    " ", "  ", "a", "word", "supercalifragilistic", "\t", "空", "が", "。", "、", "한국", "é",
    "e\u0301", "\u0301", "👩\u200d👩\u200d👧", "\u200d", "❤", "\ufe0f", "👍🏽", "🇯🇵", "ﷺ", "␛", "-",
]  # fmt: skip
texts = st.lists(st.sampled_from(ODD), max_size=30).map("".join) | st.text(
    st.characters(exclude_characters="\n", exclude_categories=["Cc", "Cs"]), max_size=60
)
# Joiners that join nothing are measured differently by Rich in a text and in its parts; a row with
# such is cut to the pane's width when it is drawn. (No line begins with one, see the token buffer.)
lines = texts.filter(lambda text: not re.search("(^|[\t\u200d])\u200d", text))
widths = st.integers(1, 30)


@given(lines, widths)
def test_no_character_is_lost(text: str, width: int) -> None:
    rows = wrap(text, width)
    assert "".join(row.text for row in rows) == text
    at = 0
    for row in rows:
        assert row.start == at
        at += len(row.text)


@given(lines, widths)
@example("abcd❤\ufe0f", 5)
def test_no_row_is_wider_than_the_pane(text: str, width: int) -> None:
    for row in wrap(text, width):
        assert cells(row.text[: row.shown]) <= width


@given(lines, st.integers(2, 30))
@example("a\t", 4)
def test_only_blanks_hang(text: str, width: int) -> None:
    for row in wrap(text, width):
        hangs = row.text[row.shown :]
        assert width < 4 or not hangs or hangs[0].isspace()


@given(lines, texts, widths)
@example("abcd❤", "\ufe0f", 5)
@example("hello", " world", 5)
@example("👩", "\u200d👩", 3)
@example("空", "。", 2)
def test_appending_touches_the_last_row_only(one: str, other: str, width: int) -> None:
    *kept, last = wrap(one, width)
    assert [*kept, *wrap(last.text + other, width, last.start)] == wrap(one + other, width)


@pytest.mark.parametrize(
    ("text", "width", "rows"),
    [
        ("the sky is blue", 7, ["the sky", "is blue"]),
        ("the sky  is", 7, ["the sky", "is"]),
        ("  indented", 12, ["  indented"]),
        ("abcdefghij", 4, ["abcd", "efgh", "ij"]),
        ("a abcdefghij", 4, ["a ", "abcd", "efgh", "ij"]),
        ("空が青い。", 4, ["空が", "青", "い。"]),
        ("", 5, [""]),
    ],
)
def test_where_rows_end(text: str, width: int, rows: list[str]) -> None:
    assert [row.text[: row.shown] for row in wrap(text, width)] == rows


def test_a_tab_has_a_width() -> None:
    assert cells("\ta") == 5


def test_long_lines_cost_in_proportion_to_their_length() -> None:
    calls = [0, 0]
    for index, length in enumerate((500, 5000)):

        def count(*_: object, index: int = index) -> None:
            calls[index] += 1

        sys.setprofile(count)
        try:
            wrap("word " * length, 30)
        finally:
            sys.setprofile(None)
    assert calls[1] < 11 * calls[0]

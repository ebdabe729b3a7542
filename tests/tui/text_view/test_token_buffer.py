"""The token buffer: text by token, offset and row, while it grows, is cut and re-wrapped."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gelu_tui.tui.text_view.token_buffer import TokenBuffer
from tests.support.counting import calls_of

PIECES = [
    "", " ", "a", " word", "\n", "\n\n", "x\ny", "\t", "空", "。", "\u0301", "👩\u200d", "👧",
    "\x1b[31m", "[bold]", "\u202e", " supercalifragilistic",
]  # fmt: skip
pieces = st.lists(st.sampled_from(PIECES), max_size=40)
widths = st.integers(2, 20)


def filled(texts: list[str]) -> TokenBuffer:
    buffer = TokenBuffer()
    for text in texts:
        buffer.append(text)
    return buffer


def rows(buffer: TokenBuffer, width: int) -> list[list[str]]:
    return [[row.text for row in line.rows(width)] for line in buffer.lines]


@given(pieces, widths)
def test_appending_gives_what_wrapping_the_whole_gives(texts: list[str], width: int) -> None:
    grown = TokenBuffer()
    for text in texts:
        grown.append(text)
        rows(grown, width)  # wraps, so that the next append has rows to extend
    assert rows(grown, width) == rows(filled(texts), width)


@given(pieces, st.integers(0, 40), pieces, widths)
def test_cutting_and_going_on(one: list[str], keep: int, other: list[str], width: int) -> None:
    buffer = filled(one)
    rows(buffer, width)
    buffer.truncate(keep)
    for text in other:
        buffer.append(text)
    straight = filled([*one[:keep], *other])
    assert rows(buffer, width) == rows(straight, width)
    assert buffer.starts == straight.starts


@given(pieces, widths)
def test_offsets_round_trip(texts: list[str], width: int) -> None:
    buffer = filled(texts)
    text = buffer.text
    assert buffer.length == len(text)
    for token in range(len(buffer)):
        start, end = buffer.span(token)
        if start == end:
            continue
        assert buffer.token_at(start) == buffer.token_at(end - 1) == token
        line, row = buffer.row_at(start, width)
        found = buffer.lines[line].rows(width)[row]
        within = start - buffer.lines[line].start - found.start
        assert 0 <= within <= len(found.text)
        if text[start] != "\n":
            assert found.text[within] == text[start]


@given(pieces, st.integers(0, 60), st.integers(0, 60))
def test_the_tokens_of_a_range_cover_it(texts: list[str], one: int, other: int) -> None:
    buffer = filled(texts)
    start, end = sorted((min(one, buffer.length), min(other, buffer.length)))
    parts = list(buffer.tokens_in(start, end))
    assert "".join(buffer.text[a:b] for _, a, b in parts) == buffer.text[start:end]
    for token, a, b in parts:
        first, last = buffer.span(token)
        assert first <= a < b <= last


@given(pieces)
def test_nothing_in_it_acts_on_a_terminal(texts: list[str]) -> None:
    assert not set(filled(texts).text) & {"\x1b", "\u202e", "\x00"}


def test_a_mark_has_something_to_stand_on() -> None:
    assert filled(["\u0301a", "\n", "\u200db"]).text == "◌\u0301a\n◌\u200db"


@pytest.mark.parametrize("blank", [" ", ""])
def test_a_token_costs_the_same_at_any_length(blank: str) -> None:
    def calls_to_append(length: int) -> int:
        buffer = filled([f"{blank}word"] * length)
        buffer.lines[-1].rows(40)

        def append() -> None:
            for _ in range(10):
                buffer.append(f"{blank}word")
                buffer.lines[-1].rows(40)

        return calls_of(append)

    assert calls_to_append(30_000) <= 1.2 * calls_to_append(300)

"""Texts that terminals measure differently leave the rest of the screen where it is."""

from __future__ import annotations

from pathlib import Path

import pyte
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from gelu_tui.tui.terminal.width_anchoring import anchored
from tests.support.app_terminal import terminal
from tests.support.driving import fake_engine

ON, OFF = "\x1b[1;38;5;208m", "\x1b[0m"
# By this emulator's measure wider or narrower than by Rich's, which the layout goes by.
DISPUTED = ["❤️", "⚠️ ", "1️⃣ x", "👍🏽👍🏽", "👩‍👩‍👧", "हिन्दी नमस्ते", "\u200dab", "a\u3164b", "ක්‍ර"]


def shown(data: str) -> pyte.Screen:
    screen = pyte.Screen(60, 2)
    pyte.Stream(screen).feed(data)
    return screen


@pytest.mark.parametrize("text", DISPUTED)
def test_what_follows_a_disputed_text_stands_where_the_layout_has_it(text: str) -> None:
    screen = shown(anchored(f"{ON}some {text}{OFF}{ON}{' ' * 5}{OFF}{OFF}|end"))
    column = cell_len(f"some {text}") + 5
    assert [screen.buffer[0][column + i].data for i in range(4)] == list("|end")


def test_the_emulator_does_dispute_them() -> None:
    moved = [text for text in DISPUTED if shown(text).cursor.x != cell_len(text)]
    assert len(moved) >= 4


def test_a_composed_word_goes_on_over_the_blanks_behind_it() -> None:
    assert anchored(f"{ON}a हि{OFF}{ON}   {OFF}|") == (
        f"{ON}a \x1b7 {OFF}{ON}   \x1b8\x1b7हि\x1b8\x1b[4C{OFF}{ON}{OFF}|"
    )


def test_what_follows_an_emoji_is_not_lost() -> None:
    screen = shown(anchored("👍🏽, ❤️!"))
    assert screen.buffer[0][2].data == ","
    assert screen.buffer[0][6].data == "!"


def test_nothing_of_before_shines_through_and_colours_stay() -> None:
    screen = shown("#" * 20 + "\r" + anchored(f"{ON}a ❤️ b{OFF}{ON}  {OFF}c"))
    assert [screen.buffer[0][x].data[0] for x in range(10)] == list("a ❤  b  c#")
    assert [screen.buffer[0][x].bold for x in (0, 2, 5, 8)] == [True, True, True, False]


@given(st.text(st.characters(codec="utf-8", max_codepoint=0x6FF), max_size=40))
def test_what_all_terminals_measure_alike_is_written_as_it_is(text: str) -> None:
    assert anchored(text) == text


@given(st.text(st.sampled_from("a ❤\ufe0f\u200d👩हिद्─\x1b[0;1mH]\n"), max_size=40))
def test_every_character_is_written_in_its_order(text: str) -> None:
    written = anchored(text)
    at = -1
    for char in text:
        if char != " ":
            at = written.index(char, at + 1)


def test_the_panes_stand_fast_in_a_terminal(tmp_path: Path) -> None:
    with terminal(fake_engine("emoji"), tmp_path, prompt="x") as opened:
        opened.until_shown("done ·")
        cells = opened._screen.buffer

        def columns() -> list[int]:
            return [
                x
                for y in range(opened._screen.lines)
                for x in range(opened._screen.columns - 1)
                if cells[y][x].data + cells[y][x + 1].data == "I "
            ]

        sent = len(opened.output)
        opened.send("\x0c")  # everything anew: line by line, through all panes
        opened.until(lambda: len(opened.output) > sent + 2000, "drawn anew")
        opened.until(lambda: columns() == [0, 27, 54, 0, 40], "panes in their places", timeout_s=5)
        opened.send("\x11")
        assert opened.wait() == 0

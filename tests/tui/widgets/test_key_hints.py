"""A click on a key in a screen's line of keys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gelu_tui.tui.widgets.key_hints import KeyHints, fitting, key_at
from tests.support.driving import PROMPT, driven, ready

LINE = "q, Esc back · n next stream · / search · F10 out · ↑ ↓ scroll · ^r run · Enter or ↓ to it"


@pytest.mark.parametrize(
    ("at", "key"),
    [
        ("q,", "q"),
        ("back", "q"),
        ("n next", "n"),
        ("stream", "n"),
        ("/", "slash"),
        ("F10", "f10"),
        ("↑", None),
        ("^r", "ctrl+r"),
        ("to it", "enter"),
    ],
)
def test_the_key_under_the_pointer(at: str, key: str | None) -> None:
    assert key_at(LINE, LINE.index(at)) == key


@pytest.mark.parametrize("column", [LINE.index("·"), len(LINE), len(LINE) + 30])
def test_between_and_behind_the_keys_there_is_none(column: int) -> None:
    assert key_at(LINE, column) is None


@given(width=st.integers(0, 120), helps=st.booleans())
def test_what_does_not_fit_is_left_out_in_whole_parts_but_help(width: int, helps: bool) -> None:
    last = ["F1 help"] if helps else []
    parts = LINE.split(" · ")
    shown = fitting(" · ".join(parts + last), width).split(" · ")
    kept = len(shown) - len(last)
    assert kept >= 1 and shown == parts[:kept] + last
    assert kept == 1 or len(" · ".join(shown)) <= width
    assert kept == len(parts) or len(" · ".join(parts[: kept + 1] + last)) > width


@pytest.mark.parametrize(("size", "cut"), [((60, 20), True), ((80, 24), True), ((200, 50), False)])
async def test_a_line_of_keys_ends_with_a_whole_key(size: tuple[int, int], cut: bool) -> None:
    async with ready(size=size) as it:
        await it.app.run_action("app.open('curves')")
        await it.until_shown("q back · v view")
        line = it.screen().splitlines()[-1].rstrip()
        assert line.endswith("· F1 help")
        assert ("k j move y" not in line) is cut


async def test_clicks_go_through_the_forks_and_back() -> None:
    async with driven(prompt=PROMPT) as it:
        await it.until_finished()
        await it.press("f7")
        await it.until_shown("2 of 4")
        keys = it.app.screen.query_one(KeyHints)
        line = str(keys.content)
        left = keys.content_region.x - keys.region.x
        await it.pilot.click(keys, offset=(left + line.index("next"), 0))
        await it.until_shown("3 of 4")
        await it.pilot.click(keys, offset=(left + line.index("back"), 0))
        await it.until(lambda: it.app.screen is it.app.compare, "back")


@pytest.mark.parametrize("key", ["f3", "f4", "f6", "f8", "f9"])
async def test_every_screen_is_left_by_the_mouse(key: str) -> None:
    async with driven(prompt=PROMPT) as it:
        await it.until_finished()
        await it.press(key)
        await it.until(lambda: it.app.screen is not it.app.compare, "open")
        keys = it.app.screen.query_one(KeyHints)
        await it.until(lambda: "back" in str(keys.content), "the keys are there")
        left = keys.content_region.x - keys.region.x
        await it.pilot.click(keys, offset=(left + str(keys.content).index("back"), 0))
        await it.until(lambda: it.app.screen is it.app.compare, "back")

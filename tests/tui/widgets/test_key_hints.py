"""A click on a key in a screen's line of keys."""

from __future__ import annotations

import pytest

from gelu_tui.tui.widgets.key_hints import KeyHints, key_at
from tests.support.driving import PROMPT, driven

LINE = "q, Esc back · n next stream · / search · F10 out · ↑ ↓ scroll · Enter or ↓ to it"


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
        ("to it", "enter"),
    ],
)
def test_the_key_under_the_pointer(at: str, key: str | None) -> None:
    assert key_at(LINE, LINE.index(at)) == key


@pytest.mark.parametrize("column", [LINE.index("·"), len(LINE), len(LINE) + 30])
def test_between_and_behind_the_keys_there_is_none(column: int) -> None:
    assert key_at(LINE, column) is None


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

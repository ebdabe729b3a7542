"""The command palette: commands are found by their titles and by what their help says."""

from __future__ import annotations

import pytest

from gelu_tui.tui.keys.palette import PaletteCommands
from tests.support.driving import PROMPT, driven, ready


@pytest.mark.parametrize(
    ("word", "title"),
    [
        ("layer", "Lab: layers"),
        ("inputs", "Lab: curves"),
        ("histogram", "Lab: curves"),
        ("derivative", "Lab: curves"),
        ("colour", "Lab: text in colour · Shift+T"),
        ("KL", "Lab: text in colour · Shift+T"),
        ("scored", "Lab: text in colour · Shift+T"),
        ("nearly nothing like this", None),
    ],
)
async def test_the_lab_is_found_by_what_it_shows(word: str, title: str | None) -> None:
    async with ready() as it:
        found = [hit.text async for hit in PaletteCommands(it.app.screen).search(word)]
        assert title in found if title else not found


async def test_a_fork_is_found_by_what_if() -> None:
    async with driven(prompt=PROMPT) as it:
        await it.until_finished()
        await it.press("ctrl+p")
        await it.until_shown("Search for commands")
        await it.type("what if it")
        await it.until_shown("Show the fork of this pane · F7, w")
        await it.press("enter", "enter")
        await it.until_shown("2 of 4")


async def test_titles_come_first() -> None:
    async with ready() as it:
        hits = [hit async for hit in PaletteCommands(it.app.screen).search("functions")]
        best = max(hits, key=lambda hit: hit.score)
        assert best.text == "Choose functions · F2, a" and len(hits) > 1

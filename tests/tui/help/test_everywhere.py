"""Help is there on every screen, by F1 and, outside of text fields, by `?`."""

from __future__ import annotations

import pytest
from textual.widgets import Input

from gelu_tui.tui.help.screen import HelpScreen
from gelu_tui.tui.prompts.screen import PromptsScreen
from tests.support.driving import PROMPT, Driven, driven, ready

SCREENS = {
    "f2": ("ActivationsScreen", "Leave as it was."),
    "f3": ("PromptsScreen", "Read on in the prompt that is shown."),
    "f4": ("ModelsScreen", "Look at the disk again."),
    "f6": ("HistoryScreen", "Out of a field, or back."),
    "f7": ("ForkScreen", "Next stream."),
    "f8": ("MatrixScreen", "The fork of this pair."),
    "f9": ("FedTextScreen", "Tokens with their ids."),
}


async def opened(it: Driven, key: str, name: str) -> None:
    await it.press(key)
    await it.until(lambda: type(it.app.screen).__name__ == name, f"{name} is open")


@pytest.mark.parametrize("key", SCREENS)
async def test_help_on_every_screen(key: str) -> None:
    name, told = SCREENS[key]
    async with driven(prompt=PROMPT) as it:
        await it.until_finished()
        await opened(it, key, name)
        # The field of the prompts' search always has the focus: there ? is a letter.
        for help_key in ("f1",) if name == PromptsScreen.__name__ else ("f1", "question_mark"):
            await opened(it, help_key, HelpScreen.__name__)
            await it.until_shown(told)
            await opened(it, "q", name)


async def test_a_key_of_the_users_own_opens_help_on_every_screen() -> None:
    async with driven(prompt=PROMPT, keys={"help": "f12"}) as it:
        await it.until_finished()
        await opened(it, "f8", "MatrixScreen")
        await opened(it, "f12", HelpScreen.__name__)
        await it.until_shown("F12")


async def test_a_question_mark_in_a_field_is_a_letter() -> None:
    async with ready() as it:
        await opened(it, "f3", "PromptsScreen")
        await it.type("?")
        field = it.app.screen.query_one("#search", Input)
        await it.until(lambda: field.value == "?", "the letter")


async def test_help_has_no_keys_that_terminals_do_not_send() -> None:
    async with ready() as it:
        await opened(it, "f4", "ModelsScreen")
        await opened(it, "f1", HelpScreen.__name__)
        await it.until_shown("Look at the disk again.")
        assert "^home" not in it.screen()


async def test_the_palette_does_what_the_keys_of_a_screen_do() -> None:
    async with driven(prompt=PROMPT) as it:
        await it.until_finished()
        await opened(it, "f7", "ForkScreen")
        await it.until_shown("2 of 4")
        await it.press("ctrl+p")
        await it.until_shown("Search for commands")
        await it.type("next stream")
        await it.until_shown("Next stream · n")
        await it.press("enter", "enter")
        await it.until_shown("3 of 4")


async def test_the_palette_has_one_way_to_do_a_thing() -> None:
    async with driven(prompt=PROMPT) as it:
        await it.until_finished()
        titles = [c.title for c in it.app.get_system_commands(it.app.screen)]
        assert len(titles) == len(set(titles))
        assert not {"Screenshot", "Keys", "Maximize"} & set(titles)
        assert {
            "Choose a theme",
            "Quit · ^q",
            "Show help · F1, ?, ^o",
            "Export the screen as SVG",
        } <= set(titles)


async def test_a_screen_is_closed_by_the_key_that_opened_it() -> None:
    async with driven(prompt=PROMPT) as it:
        await it.until_finished()
        for key, (name, _) in SCREENS.items():
            await opened(it, key, name)
            await opened(it, key, "CompareScreen")

"""Keys and clicks that come twice in one burst close one screen."""

from __future__ import annotations

from textual.command import CommandList
from textual.screen import Screen

from gelu_tui.tui.widgets.closes_once import ClosesOnce
from tests.support.driving import ready


class Small(ClosesOnce, Screen[int]):
    pass


async def test_a_second_dismissal_closes_no_other_screen() -> None:
    results: list[int | None] = []
    async with ready() as it:
        first, second = Small(), Small()
        await it.app.push_screen(first, results.append)
        await it.app.push_screen(second, results.append)
        second.dismiss(1)
        second.dismiss(2)
        assert it.app.screen is first
        first.dismiss(3)
        first.dismiss(4)
        assert it.app.screen is it.app.compare
        await it.until(lambda: len(results) == 2, "both results")
        assert results == [1, 3]


async def test_the_palette_opened_and_closed_in_one_burst() -> None:
    async with ready() as it:
        for _ in range(3):
            await it.app.action_command_palette()
            palette = it.app.screen
            assert palette is not it.app.compare
            await it.app.action_command_palette()
            assert it.app.screen is palette, "it is open already"
            palette.dismiss(None)
            palette.dismiss(None)
        assert it.app.screen is it.app.compare
        await it.press("f1")
        await it.until(lambda: it.app.screen is not it.app.compare, "help opens")


async def test_a_screen_closes_also_if_nobody_waits_for_its_result_any_more() -> None:
    async with ready() as it:
        it.app.run_worker(it.app.push_screen_wait(Small()))
        await it.until(lambda: isinstance(it.app.screen, Small), "it is open")
        future = it.app.screen._result_callbacks[-1].future
        assert future is not None
        future.cancel()
        it.app.screen.dismiss(1)
        assert it.app.screen is it.app.compare


async def test_a_page_of_a_palette_that_has_not_been_laid_out() -> None:
    async with ready() as it:
        await it.app.action_command_palette()
        commands = it.app.screen.query_one(CommandList)
        commands.set_options(["one", "two"])
        commands.highlighted = 0
        await it.app.run_action("command_list('page_down')", it.app.screen)
        await it.press("escape")
        await it.until(lambda: it.app.screen is it.app.compare, "it is closed")

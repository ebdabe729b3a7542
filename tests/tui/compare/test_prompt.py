"""Earlier prompts by Up and Down, in the prompt and from earlier sessions."""

from __future__ import annotations

from pathlib import Path

import pytest

from gelu_tui.core import paths
from gelu_tui.core.runs.history import History
from gelu_tui.tui.compare.prompt import Prompt
from tests.support.comparisons import run_document
from tests.support.driving import Driven, driven, ready


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(paths, "data_dir", lambda: tmp_path / "data")
    return tmp_path


def field(it: Driven) -> Prompt:
    return it.app.compare.query_one(Prompt)


async def steps(it: Driven, *steps: tuple[str, str]) -> None:
    """Press a key, and wait for the text that it brings."""
    for key, text in steps:
        await it.press(key)
        await it.until(lambda text=text: field(it).text == text, f"{key} brings {text!r}")


async def until_recalled(it: Driven, count: int) -> None:
    await it.until(lambda: len(field(it).recent) == count, f"{count} earlier prompts")


def save(*prompts: str) -> None:
    for prompt in prompts:
        History().save(run_document(prompt))


async def test_prompts_of_earlier_sessions_the_newest_first_and_the_draft_is_kept() -> None:
    save("first", "second", "first", "third")
    async with ready() as it:
        await until_recalled(it, 3)
        await it.type("draft")
        await steps(it, ("up", "third"), ("up", "first"), ("up", "second"), ("up", "second"))
        await steps(it, ("down", "first"), ("down", "third"), ("down", "draft"), ("down", "draft"))


async def test_what_was_run_comes_first_and_once() -> None:
    save("older", "again")
    async with driven(prompt="again") as it:
        await it.until_finished()
        await until_recalled(it, 2)
        await it.press("end", "ctrl+u")
        await it.type("new")
        await it.press("enter")
        await it.until(lambda: it.comparison.prompt == "new", "the new run")
        await it.until_finished()
        await steps(it, ("up", "again"), ("up", "older"), ("down", "again"), ("down", "new"))


async def test_in_a_prompt_of_several_lines_the_arrows_move_first() -> None:
    save("older", "one\ntwo\nthree")
    async with ready() as it:
        await until_recalled(it, 2)
        await steps(it, ("up", "one\ntwo\nthree"))
        for row in (1, 0):
            await it.press("up")
            await it.until(lambda row=row: field(it).cursor_location[0] == row, f"line {row}")
            assert field(it).text == "one\ntwo\nthree"
        await steps(it, ("up", "older"), ("down", "one\ntwo\nthree"), ("down", ""))


async def test_soft_wrapped_rows_count_as_lines() -> None:
    long = "word " * 40
    save("older", long)
    async with ready(size=(80, 24)) as it:
        await until_recalled(it, 2)
        await steps(it, ("up", long))
        await it.press("up")
        await it.until(lambda: field(it).cursor_location[1] < len(long), "a row up")
        assert field(it).text == long
        await it.press("up", "up", "up")
        await it.until(lambda: field(it).text == "older", "the one before")


async def test_a_prompt_is_remembered_even_if_nothing_is_saved() -> None:
    async with ready(save_runs=False) as it:
        await it.type("mine")
        await it.press("enter")
        await it.until_finished()
        await it.press("ctrl+u")
        await steps(it, ("up", "mine"))
        assert not History().path.exists()


async def test_clear_select_all_and_undo() -> None:
    text = "one\ntwo words\nthree\nfour\nfive"
    async with ready() as it:
        prompt = field(it)
        prompt.take(text)
        await steps(it, ("ctrl+u", ""), ("ctrl+underscore", text), ("ctrl+y", ""))
        await steps(it, ("ctrl+slash", text))
        await it.press("ctrl+s")
        await it.until(lambda: prompt.selected_text == text, "all of it")
        await steps(it, ("x", "x"), ("ctrl+underscore", text))
        assert it.app.screen is it.app.compare


async def test_function_keys_open_screens_from_a_prompt_with_text() -> None:
    async with driven(prompt="some words") as it:
        await it.until_finished()
        for key, name in (("f6", "HistoryScreen"), ("f7", "ForkScreen"), ("ctrl+o", "HelpScreen")):
            await it.press(key)
            await it.until(lambda name=name: type(it.app.screen).__name__ == name, name)
            await it.press("q")
            await it.until(lambda: it.app.screen is it.app.compare, "back")
        assert field(it).text == "some words" and not field(it).selected_text


@pytest.mark.parametrize(("rows", "most"), [(24, 3), (50, 6)])
async def test_a_long_prompt_has_a_scroll_bar(rows: int, most: int) -> None:
    async with ready(size=(80, rows)) as it:
        prompt = field(it)
        for text in ("short", "some words of a long prompt " * 40, "a\n" * 40):
            prompt.take(text)
            long = len(text) > 10
            await it.until(lambda long=long: prompt.show_vertical_scrollbar is long, text[:20])
        await it.until(lambda: prompt.size.height == most, "as many rows as it may have")

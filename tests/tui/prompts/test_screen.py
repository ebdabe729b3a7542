"""Choosing a prompt: recent ones, presets, a file."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.widgets import Input

from gelu_tui.core.errors import GeluError
from gelu_tui.sweep.plan import Plan, make_plan
from gelu_tui.tui.prompts.presets import PRESETS
from gelu_tui.tui.prompts.screen import PromptsScreen
from tests.support.driving import Alone, alone

RECENT = ["Why is grass green?", "two\nlines\n", "\x1b[31mred\u202e [bold]x[/]"]


def no_plan(source: str) -> Plan:
    raise AssertionError(f"nobody wanted to run all of {source}")


def screen(recent: list[str] = RECENT, plan: Callable[[str], Plan] | None = None) -> PromptsScreen:
    return PromptsScreen(lambda: recent, plan or no_plan)


async def to_file(it: Alone) -> None:
    await it.press("tab")
    file = it.app.shown.query_one("#file")
    await it.until(lambda: it.app.focused is file, "the file field has the focus")


async def test_recent_prompts_come_first_and_enter_takes_one() -> None:
    async with alone(screen()) as it:
        await it.until_shown("Recent", "Why is grass green?", "Presets", "Blue sky, English")
        await it.press("down", "enter")
        assert await it.result() == "two\nlines\n"


async def test_presets_can_be_taken_while_the_recent_ones_are_still_read() -> None:
    gate = threading.Event()

    def slow() -> list[str]:
        gate.wait(30)
        return RECENT

    try:
        async with alone(PromptsScreen(slow, no_plan)) as it:
            await it.until_shown("Looking for them…", "Why is the sky blue?")
            await it.press("enter")
            assert await it.result() == PRESETS[0].prompt
            gate.set()
    finally:
        gate.set()


async def test_no_recent_prompts_and_a_history_that_cannot_be_read() -> None:
    async with alone(screen([])) as it:
        await it.until_shown("None yet: the prompts that you run appear here.")

    def broken() -> list[str]:
        raise GeluError("history", "The saved runs could not be read.", "See the log.")

    async with alone(PromptsScreen(broken, no_plan)) as it:
        await it.until_shown("✗ The saved runs could not be read. See the log.")
        await it.press("enter")
        assert await it.result() == PRESETS[0].prompt


async def test_search_while_typing_and_enter_in_one_burst() -> None:
    async with alone(screen()) as it:
        await it.until_shown("grass")
        await it.type("gRaSS gre")
        await it.until_gone("Presets")
        await it.until_shown("Recent", "Why is grass green?")
    async with alone(screen()) as it:
        await it.until_shown("grass")
        await it.type("japanese")
        await it.press("enter")
        assert await it.result() == "空が青いのはなぜですか？"


async def test_a_search_without_a_find() -> None:
    async with alone(screen()) as it:
        await it.type("zzzz")
        await it.until_shown("Nothing holds these words.")
        await it.press("enter", "down", "enter")
        await it.press("backspace", "backspace", "backspace", "backspace")
        await it.until_shown("Presets")
        assert it.results == []


async def test_the_whole_prompt_is_shown_with_what_is_hidden_in_it() -> None:
    async with alone(screen(), (120, 40)) as it:
        await it.until_shown("grass")
        await it.press("down", "down")
        await it.until_shown("20 characters.", "␛[31mred⟨U+202E⟩ [bold]x[/]")
        await it.press("up")
        await it.until_shown("2 lines, 10 characters, a line break at the end.")
        await it.press("down", "down")
        await it.until_shown(PRESETS[0].why[:40])


async def test_a_huge_prompt_is_shown_in_part_and_taken_whole() -> None:
    huge = "word " * 500_000
    async with alone(screen([huge])) as it:
        await it.until_shown("2,500,000 characters, a blank at the end.")
        await it.press(*["pagedown"] * 60)  # 20,000 characters of it are shown
        await it.until_shown("and 2,480,000 characters more")
        await it.press("enter")
        assert await it.result() == huge


async def test_a_file_is_shown_and_then_taken(tmp_path: Path) -> None:
    file = tmp_path / "prompt.txt"
    file.write_text("From a file.\nSecond line.\n")
    async with alone(screen()) as it:
        await to_file(it)
        await it.type(str(file))
        await it.press("enter")
        await it.until_shown("2 lines, 25 characters.", "From a file.", "Enter takes")
        assert it.results == []
        await it.press("enter")
        assert await it.result() == "From a file.\nSecond line."


async def test_a_path_is_completed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "some-long-name.txt").write_text("found")
    monkeypatch.chdir(tmp_path)  # the whole path may be longer than the field
    async with alone(screen()) as it:
        await to_file(it)
        await it.type("some-l")
        field = it.app.shown.query_one("#file", Input)
        await it.until_shown("some-long-n")
        await it.press("right")
        await it.until(lambda: field.value.endswith(".txt"), "the path is completed")
        await it.press("enter")
        await it.until_shown("found")


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("missing", None, "There is no file"),
        ("folder/", None, "is a folder, not a file."),
        ("pipe", None, "is a pipe or a device, not a file."),
        ("latin1", b"ab\xe9", "is not valid UTF-8 (byte 2)."),
        ("large", b"x" * (4 * 1024 * 1024 + 1), "is longer than 4,194,304 bytes."),
        ("empty", b" \n", "is empty."),
        ("in\x07valid", b"", "in␇valid is empty."),
    ],
)
async def test_a_file_that_cannot_be_used_is_told(
    name: str, content: bytes | None, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    if content is not None:
        (tmp_path / name).write_bytes(content)
    async with alone(screen()) as it:
        await to_file(it)
        it.app.shown.query_one("#file", Input).value = name
        await it.press("enter")
        await it.until_shown("✗ ", sentence)
        await it.type("x")
        await it.until_gone("✗ ")
        assert it.results == []


@pytest.mark.parametrize("key", ["escape", "f10"])
async def test_it_can_be_left(key: str) -> None:
    async with alone(screen()) as it:
        await it.press(key)
        assert await it.result() is None


@pytest.mark.parametrize("size", [(40, 12), (80, 24), (200, 50)])
async def test_it_fits(size: tuple[int, int]) -> None:
    async with alone(screen(), size) as it:
        await it.until_shown("Prompts", "Why is grass green?", "Enter takes · Tab file · F10 back")


async def test_a_click_takes_a_prompt() -> None:
    async with alone(screen()) as it:
        await it.until_shown("Why is grass green?")
        rows = it.screen().splitlines()
        row = next(i for i, line in enumerate(rows) if "Blue sky, English" in line)
        await it.click(10, row)
        assert await it.result() == PRESETS[0].prompt


# --- all prompts of a file ------------------------------------------------------------------------


def planned(source: str) -> Plan:
    return make_plan(
        source, ({"max_tokens": 16, "activations": ("gelu", "silu")},), {}, local=False
    )


@pytest.mark.parametrize("answer", ["y", "n"])
async def test_all_prompts_of_a_file_are_run_if_that_is_confirmed(
    tmp_path: Path, answer: str
) -> None:
    (tmp_path / "many.txt").write_text("Why?\nHow?\nWho?\n")
    async with alone(screen(plan=planned)) as it:
        await to_file(it)
        await it.type(str(tmp_path / "many.txt"))
        await it.press("ctrl+r")
        await it.until_shown("Run 3 prompts of many: gelu, silu and a control,", "16 tokens each?")
        await it.press(answer)
        if answer == "y":
            plan = await it.result()
            assert isinstance(plan, Plan) and plan.prompts.count == 3
        else:
            await it.until_gone("Run 3 prompts")
            assert it.results == []


async def test_all_prompts_of_no_file_or_a_wrong_one(tmp_path: Path) -> None:
    async with alone(screen(plan=planned)) as it:
        await it.press("ctrl+r")
        await it.until_shown("Give the path of a file here, or builtin:mixed")
        await it.type(str(tmp_path / "none.txt"))
        await it.press("ctrl+r")
        await it.until_shown("✗", "none.txt")
        assert it.results == []

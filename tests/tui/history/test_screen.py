"""Saved runs on the screen: found, looked at, opened, compared, run again, exported, deleted."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from gelu_tui.core.errors import GeluError
from gelu_tui.core.reports.export import FORMATS, export
from gelu_tui.core.runs.document import ComparisonDocument
from gelu_tui.core.runs.history import History
from gelu_tui.tui.help.screen import HelpScreen
from gelu_tui.tui.history.results import CompareRuns, Reopen, Rerun
from gelu_tui.tui.history.screen import HistoryScreen
from tests.support.comparisons import run_document
from tests.support.driving import Alone, Driven, ScreenApp, driven

PROMPTS = ("Why is the sky blue?", "A haiku, please", "\x1b[31mred [bold]x[/]")


class Seen(Alone):
    async def focus(self, name: str) -> None:
        await self.until(
            lambda: self.app.focused is not None and self.app.focused.id == name, f"focus: {name}"
        )


@pytest.fixture
def history(tmp_path: Path) -> History:
    history = History(tmp_path / "history.sqlite")
    for prompt in PROMPTS:
        history.save(run_document(prompt))
    return history


@asynccontextmanager
async def opened(
    history: History, size: tuple[int, int] = (80, 24), shown: str = "run 3 ·"
) -> AsyncIterator[Seen]:
    app = ScreenApp(HistoryScreen(history))
    async with app.run_test(size=size) as pilot:
        it = Seen(app, pilot)
        await it.until_shown(shown)
        yield it


# --- looking --------------------------------------------------------------------------------------


async def test_the_newest_first_with_a_preview_of_the_chosen_one(history: History) -> None:
    async with opened(history) as it:
        rows = [line for line in it.screen().splitlines() if " done" in line]
        assert ["red [bold]x[/]" in rows[0], "A haiku" in rows[1], "Why is" in rows[2]] == [
            True
        ] * 3
        assert "gelu_approx +2" in rows[0] and "= 2" in rows[0]
        assert "silu diverges at 2 The sky► was grey." in it.flat()
        assert "\x1b" not in it.screen()
        await it.press("down")
        await it.until_shown("run 2 ·")


async def test_a_long_prompt_is_cut_off_visibly(tmp_path: Path) -> None:
    long = History(tmp_path / "history.sqlite")
    long.save(run_document("word " * 200))
    async with opened(long, shown="run 1 ·") as it:
        rows = it.screen().splitlines()
        last = max(y for y, row in enumerate(rows) if row.strip().startswith("word"))
        assert rows[last].endswith("…")


@pytest.mark.parametrize("size", [(200, 50), (120, 36), (64, 18), (40, 12), (20, 5)])
async def test_every_size(history: History, size: tuple[int, int]) -> None:
    async with opened(history, size, shown="History · 3 runs") as it:
        await it.until_shown("when")
        assert all(len(line) <= size[0] for line in it.screen().splitlines())
        await it.press("end", "enter")
        result = await it.result()
        assert isinstance(result, Reopen) and result.run == 1


async def test_search(history: History) -> None:
    async with opened(history) as it:
        await it.press("slash")
        await it.focus("search")
        await it.type("HAIKU")
        await it.until_shown("History · 1 run ")
        await it.until_shown("run 2 ·")
        await it.type("q")  # a letter of the search, not a key
        await it.until_shown("No run holds “HAIKUq”.")
        await it.press("backspace")
        await it.until_shown("History · 1 run ")
        await it.press("enter", "enter")
        result = await it.result()
        assert isinstance(result, Reopen) and result.document.prompt == "A haiku, please"


async def test_the_way_back_out_of_a_search_and_out_of_the_screen(history: History) -> None:
    async with opened(history) as it:
        await it.press("slash")
        await it.focus("search")
        await it.type("nothing like it")
        await it.until_shown("No run holds")
        await it.press("f10")
        await it.until_shown("History · 3 runs")
        await it.focus("runs")
        await it.press("f10")
        assert await it.result() is None


async def test_before_the_first_run(tmp_path: Path) -> None:
    empty = History(tmp_path / "none" / "history.sqlite")
    async with opened(empty, shown="Every run is saved here by itself") as it:
        await it.press("enter", "x", "e", "r")
        await it.press("q")
        assert await it.result() is None
    assert not empty.path.exists()


async def test_before_the_first_run_q_goes_back_after_help_too(tmp_path: Path) -> None:
    async with opened(History(tmp_path / "none.sqlite"), shown="No runs yet.") as it:
        assert "Enter open" not in it.screen()
        screen = it.app.screen
        it.app.push_screen(HelpScreen([("Keys", [("q", "Back.")])]))
        await it.until_shown("Back.")
        await it.press("q")
        await it.until(lambda: it.app.screen is screen, "help is closed")
        await it.press("q")
        assert await it.result() is None


async def test_after_a_search_without_result_the_field_still_takes_letters(
    history: History,
) -> None:
    async with opened(history) as it:
        await it.press("slash", "q", "q")
        await it.until_shown("No run holds “qq”.")
        await it.press("backspace", "backspace")
        await it.until_shown("History · 3 runs")


# --- doing ----------------------------------------------------------------------------------------


async def test_open_and_run_again(history: History) -> None:
    for key, kind in (("enter", Reopen), ("r", Rerun)):
        async with opened(history) as it:
            await it.press("down", key)
            result = await it.result()
            assert isinstance(result, kind)
            assert result.document == run_document(PROMPTS[1])


def marked(it: Driven) -> list[str]:
    """The lines of the table with the mark in front."""
    return [line.strip() for line in it.screen().splitlines() if line.strip().startswith("■ ")]


@pytest.mark.parametrize("size", [(80, 24), (40, 12)])
async def test_two_runs_are_compared(history: History, size: tuple[int, int]) -> None:
    async with opened(history, size, shown="History · 3 runs") as it:
        await it.until_shown("when")
        assert marked(it) == []
        await it.press("down", "c")
        await it.until_shown("Compare run 2: c on another run")
        await it.until(lambda: len(marked(it)) == 1 and "A haiku" in marked(it)[0], "the mark")
        await it.press("down", "c")
        result = await it.result()
        assert isinstance(result, CompareRuns) and result.runs == (2, 1)
        assert result.document.prompt == PROMPTS[1]
        names = [variant.name for variant in result.document.variants]
        assert names == ["gelu_approx", "gelu", "silu", "gelu_approx #1", "gelu #1", "silu #1"]


@pytest.mark.parametrize("key", ["c", "escape", "f10"])
async def test_the_mark_is_taken_away(history: History, key: str) -> None:
    async with opened(history) as it:
        await it.press("c")
        await it.until_shown("Compare run 3:")
        await it.press(key)
        await it.until_shown("c compare")
        assert marked(it) == []
        await it.press("down", "c")
        await it.until_shown("Compare run 2:")
        assert it.results == []


async def test_runs_that_cannot_be_compared_and_a_marked_run_that_is_deleted(
    history: History,
) -> None:
    history.save(replace(run_document("Another"), prompt_tokens=(7,)))
    async with opened(history, shown="run 4 ·") as it:
        await it.press("c", "down", "c")
        await it.until_shown("✗ Runs 4 and 3 have different prompts. Compare two runs of one")
        assert it.results == [] and "Another" in marked(it)[0]
        await it.press("up", "x")
        await it.until_shown("Delete run 4")
        await it.press("y")
        await it.until_shown("Run 4 is deleted.")
        await it.until_shown("c compare")
        assert marked(it) == []


@pytest.mark.parametrize("size", [(60, 14), (80, 24)])
async def test_of_more_streams_than_fit_some_are_chosen(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    history = History(tmp_path / "history.sqlite")
    for letter in "ab":
        texts = {f"{letter}{number}": ["The", " sky", letter] for number in range(5)}
        history.save(run_document(texts=texts))
    async with opened(history, size, shown="History · 2 runs") as it:
        await it.until_shown("when")
        await it.press("c")
        await it.until_shown("Compare run 2:")
        await it.press("down", "c")
        await it.until_shown("8 of at most 8 streams, with the reference, b0 of run 2")
        await it.until_shown("■ a2 of run 1 · a3 of run 1")
        for _ in range(7):
            await it.press("down")
        await it.press("space")
        await it.until_shown("9 of at most 8 streams · too many")
        await it.press("enter", "enter")
        assert it.results == []
        await it.press("up", "space", "up", "space", "enter")
        result = await it.result()
        assert isinstance(result, CompareRuns) and result.runs == (2, 1)
        names = [variant.name for variant in result.document.variants]
        assert names == ["b0", "b1", "b2", "b3", "b4", "a0", "a3"]


async def test_nothing_is_chosen_of_too_many_streams(tmp_path: Path) -> None:
    history = History(tmp_path / "history.sqlite")
    for letter in "ab":
        history.save(run_document(texts={f"{letter}{number}": ["The"] for number in range(5)}))
    async with opened(history, shown="History · 2 runs") as it:
        await it.until_shown("when")
        await it.press("c", "down", "c")
        await it.until_shown("8 of at most 8 streams")
        await it.press("escape")
        await it.until_shown("Compare run 2: c on another run")
        assert it.results == []


async def test_compared_runs_in_the_app(history: History) -> None:
    async with driven("five") as it:
        it.app.services.history = history
        await it.press("f6")
        await it.until_shown("run 3 ·")
        await it.press("c", "down", "c")
        await it.until_shown("Runs 3 and 2, compared with gelu_approx of run 3.")
        assert len(it.comparison.streams) == 6
        await it.until_shown("saved run of 2025-11-22")
        await it.press("6", "r")
        await it.until_shown("Compared with silu #2 from here on.")
        await it.until_shown("► diverges at 2")
        await it.press("1", "f7")
        await it.until_shown("At token 2")
        await it.press("escape", "f8")
        await it.until_shown("First divergent token of every pair")
        assert len(history.entries()) == 3, "nothing is saved again"


async def test_a_double_click_opens_and_a_click_only_chooses(history: History) -> None:
    async with opened(history) as it:
        await it.pilot.click("#runs", offset=(20, 2))
        await it.until_shown("run 2 ·")
        assert it.results == []
        await it.pilot.click("#runs", offset=(20, 3), times=2)
        result = await it.result()
        assert isinstance(result, Reopen) and result.run == 1


async def test_delete_asks_first(history: History) -> None:
    async with opened(history) as it:
        for no in ("n", "x", "enter", "escape"):
            await it.press("x")
            await it.until_shown("Delete run 3")
            await it.press(no)
            await it.focus("runs")
            assert "Delete run" not in it.screen()
        assert len(history.entries()) == 3
        await it.press("down", "x")
        await it.until_shown("Delete run 2, “A haiku, please”?")
        await it.press("y")
        await it.until_shown("Run 2 is deleted.")
        await it.until_shown("History · 2 runs")
        assert [entry.id for entry in history.entries()] == [3, 1]
        await it.until_shown("run 1 ·")  # the next one is chosen


async def test_export(history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with opened(history) as it:
        await it.press("e")
        await it.focus("path")
        await it.press("enter")
        await it.until_shown("Written:")
        report = tmp_path / "gelu-tui-run-3.md"
        assert "The sky► was◄ grey." in report.read_text(encoding="utf-8")
        report.write_text("mine")
        await it.press("e")
        await it.focus("path")
        await it.press("enter")
        await it.until_shown("Overwrite it?")
        await it.press("n")
        await it.focus("path")
        assert report.read_text() == "mine"
        await it.press("enter")
        await it.until_shown("Overwrite it?")
        await it.press("y")
        await it.until_shown("Written:")
        assert report.read_text(encoding="utf-8") != "mine"


async def test_export_of_the_data_and_names_that_do_not_work(
    history: History, tmp_path: Path
) -> None:
    async with opened(history, (120, 30)) as it:
        for name, said in (
            (f"{tmp_path}/run.txt", "Let the name end in .json, .md, .html or .csv."),
            (f"{tmp_path}/run.SVG", "Open the run; then Ctrl+P, Export the screen as SVG."),
            (f"{tmp_path}/none/run.json", "cannot be written: No such file or directory."),
            ("~nobody-here/run.json", "there is no user 'nobody-here'."),
            (f"{tmp_path}/run.json", "Written:"),
        ):
            await it.press("e")
            await it.focus("path")
            it.app.focused.value = name  # type: ignore[union-attr]
            await it.press("enter")
            await it.until_shown(said)
            await it.press("escape")
        saved = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
        assert saved["prompt"] == PROMPTS[2]
        assert not list(tmp_path.glob(".*"))  # noqa: ASYNC240


def test_an_export_that_fails_in_the_middle_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text("old")

    def full(document: ComparisonDocument) -> Iterator[bytes]:
        yield b"new"
        raise OSError(errno.ENOSPC, "No space left on device")

    formats = {"json": dataclasses.replace(FORMATS["json"], parts=full)}
    with pytest.raises(GeluError, match="cannot be written: No space left on device"):
        export(run_document(), path, formats, overwrite=True)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


async def test_a_run_that_another_instance_deleted(history: History) -> None:
    async with opened(history) as it:
        history.delete(2)
        await it.press("down", "enter")
        await it.until_shown("There is no saved run 2.")
        assert it.results == []


async def test_damaged_runs_are_shown_as_damaged_and_hide_no_other(history: History) -> None:
    with contextlib.closing(sqlite3.connect(history.path)) as connection, connection:
        connection.execute("UPDATE runs SET prompt = X'00ff', document = X'00' WHERE id = 3")
        connection.execute("UPDATE runs SET activations = 7 WHERE id = 2")
    broken = "✗ Run 3 cannot be read: its data are damaged."
    async with opened(history, shown=broken) as it:
        assert it.screen().count(" damaged") == 3  # two rows, and the sentence
        await it.press("down")
        await it.until_shown("run 2 ·")
        assert broken not in it.flat()
        await it.press("up")
        await it.until_shown(broken)
        assert "run 2 ·" not in it.flat()
        for key in ("enter", "r", "e"):
            await it.press(key)
            await it.settle()
            assert not it.app.results
        await it.press("down", "enter")
        result = await it.result()
        assert isinstance(result, Reopen) and result.run == 2


async def test_a_damaged_file_is_told_in_one_sentence(history: History) -> None:
    history.path.write_bytes(b"damaged" * 1000)
    async with opened(history, shown="The history was damaged and is now history.damaged-") as it:
        assert "No runs yet." in it.flat()


async def test_a_history_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "history.sqlite").mkdir()
    async with opened(
        History(tmp_path / "history.sqlite"), shown="The saved runs could not be read"
    ) as it:
        await it.press("q")
        assert await it.result() is None

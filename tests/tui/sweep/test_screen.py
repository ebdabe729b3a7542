"""The screen of a sweep that is saved: its parts, its order, opening a run, two side by side."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from gelu_tui.core.errors import GeluError
from gelu_tui.sweep.plan import Plan
from gelu_tui.sweep.store import SweepStore
from gelu_tui.tui.engine_link.running_sweep import RunningSweep
from gelu_tui.tui.help.texts import screen_help
from gelu_tui.tui.sweep.prompt_table import PromptTable
from gelu_tui.tui.sweep.screen import SweepScreen
from gelu_tui.tui.sweep.shown_sweep import OpenRun, ShownSweep
from gelu_tui.tui.widgets.export_field import ExportField
from tests.support.driving import Alone, alone
from tests.support.sweep_screens import a_store

WIDE = (200, 50)


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


def no_engine(plan: Plan) -> RunningSweep:
    raise GeluError("busy", "A run is going on.", "Stop it first.")


@asynccontextmanager
async def opened(
    store: SweepStore, size: tuple[int, int] = (80, 24), shown: ShownSweep | None = None
) -> AsyncIterator[Alone]:
    screen = SweepScreen(shown or ShownSweep(store), no_engine)
    async with alone(screen, size) as it:
        await it.until(lambda: screen.shown.contents is not None, "the sweep is read")
        await it.settle()
        yield it


def table(it: Alone) -> PromptTable:
    return it.app.screen.query_one(PromptTable)


def field(it: Alone) -> ExportField:
    return it.app.screen.query_one(ExportField)


async def test_its_head_and_its_prompts() -> None:
    async with opened(a_store(failed=[12], count=13)) as it:
        await it.until_shown("13 of 13 prompts · 1 failed · finished", "1 Prompts 13")
        seen = it.screen()
        assert "Sweep mixed · demo · gelu_approx against gelu" in seen
        assert "Over 12 prompts of 256 tokens" in seen
        assert "✗ The prompt has 120,000 tokens" in seen
        assert "\x1b" not in seen


async def test_each_part_by_its_key_and_by_a_click() -> None:
    async with opened(a_store()) as it:
        await it.press("2")
        await it.until_shown("Share of prompts that have diverged", "100%", "control")
        await it.press("3")
        await it.until_shown("Over 12 prompts")
        await it.press("end")
        await it.until_shown("256 tokens at most")
        await it.press("4")
        await it.until_shown("verdict")
        row = next(y for y, line in enumerate(it.screen().splitlines()) if "1 Prompts" in line)
        await it.click(3, row)
        await it.until(lambda: table(it).has_focus, "the prompts have the focus")


async def test_all_parts_side_by_side_where_there_is_room() -> None:
    async with opened(a_store(), WIDE) as it:
        await it.until_shown("1 Prompts", "2 Curves", "3 Estimates", "4 Worst", "How many diverge")
        assert "Share of prompts that have diverged" in it.screen()


async def test_order_by_where_a_function_diverges() -> None:
    async with opened(a_store()) as it:
        by_number = [row.number for row in table(it)._rows]
        assert by_number == sorted(by_number)
        names = it.app.screen.shown.contents.compared  # type: ignore[attr-defined]
        for place, name in enumerate(names):
            await it.press("o")
            await it.until_shown(f"{name[:12]}", "▲")
            assert table(it).order == place
            fdts = [row.streams[place][1] for row in table(it)._rows]
            known = [fdt for fdt in fdts if fdt is not None]
            assert known == sorted(known)
            assert fdts[: len(known)] == known, "those that are the same come last"
        await it.press("o")
        await it.until_gone("▲")
        assert [row.number for row in table(it)._rows] == by_number


async def test_enter_opens_the_run_and_where_one_was_is_kept() -> None:
    shown = ShownSweep(a_store())
    async with opened(shown.store, shown=shown) as it:  # type: ignore[arg-type]
        await it.press("o", "down", "down", "enter")
        result = await it.result()
    assert isinstance(result, OpenRun)
    row = result.shown.key
    assert row is not None and result.run == f"mixed-01234567/{row[1]}"
    assert result.document.prompt
    async with opened(shown.store, shown=shown) as it:  # type: ignore[arg-type]
        await it.until(lambda: table(it).chosen is not None, "the rows")
        assert table(it).chosen.key == row and table(it).order == 0  # type: ignore[union-attr]


async def test_a_prompt_that_failed_has_no_run_but_a_reason() -> None:
    async with opened(a_store(finished=0, failed=[0], count=2)) as it:
        await it.press("enter")
        await it.until_shown("Prompt 0000 could not be run: The prompt has 00,000 tokens")
        assert it.results == []


async def test_the_worst_prompts_are_opened_too() -> None:
    async with opened(a_store()) as it:
        await it.press("4")
        await it.until_shown("verdict")
        await it.press("enter")
        assert isinstance(await it.result(), OpenRun)


async def test_no_prompt_is_finished() -> None:
    async with opened(a_store(finished=0)) as it:
        await it.until_shown("No prompt is finished.", "0 of 12 prompts · stopped: s goes on")


async def test_thousands_of_rows_draw_what_is_seen() -> None:
    store = a_store(finished=1)
    shown = ShownSweep(store)
    async with opened(store, shown=shown) as it:
        contents = shown.contents
        assert contents is not None
        first = contents.rows[0]
        many = [replace(first, number=n, id=f"{n:05d}") for n in range(50_000)]
        table(it).show(replace(contents, rows=many))
        drawn: list[int] = []
        line = table(it)._line
        table(it)._line = lambda row, width: (drawn.append(row.number), line(row, width))[1]  # type: ignore[method-assign]
        await it.press("end")
        await it.until_shown("49999")
        await it.press("pageup", "up", "up")
        assert table(it).chosen is not None
        assert len(set(drawn)) < 200, "only rows near the cursor are drawn"
        await it.press("home")
        await it.until_shown("00000")


async def test_one_function_is_emphasized_after_the_other() -> None:
    async with opened(a_store()) as it:
        names = it.app.screen.shown.contents.compared  # type: ignore[attr-defined]
        await it.press("2")
        for name in names:
            await it.press("right")
            await it.until_shown(f"►{name}", "░")
        await it.press("right")
        await it.until_gone("►")
        await it.press("left")
        await it.until_shown(f"►{names[-1]}")


async def test_two_sweeps_side_by_side() -> None:
    a_store(name="other", key="fedcba9876543210", seed=3)
    async with opened(a_store(), (120, 36)) as it:
        await it.press("c")
        await it.until_shown("Show which sweep beside this one?", "other · 12 of 12 prompts")
        await it.press("enter")
        await it.until_shown("A mixed: 12 of 12 prompts", "B other: 12 of 12 prompts")
        await it.press("2")
        await it.until_shown("A gelu", "B gelu", "A solid, B dotted")
        await it.press("c")
        await it.until_gone("B gelu")


async def test_there_is_no_second_sweep() -> None:
    async with opened(a_store()) as it:
        await it.press("c")
        await it.until_shown("There is no other sweep with a finished prompt.")


async def test_going_on_says_why_it_cannot() -> None:
    async with opened(a_store(finished=3)) as it:
        await it.press("s")  # the set's digest is not that of the built-in prompts
        await it.until_shown("The prompts in mixed are others by now.")


@pytest.mark.parametrize("size", [(200, 50), (120, 36), (64, 18), (40, 12), (20, 5)])
async def test_every_size(size: tuple[int, int]) -> None:
    async with opened(a_store(failed=[12], count=13), size) as it:
        for key in "1234":
            await it.press(key)
            assert all(len(line) <= size[0] for line in it.screen().splitlines())
        await it.press("q")
        assert await it.result() is None


async def test_help_begins_with_what_the_part_does() -> None:
    async with opened(a_store()) as it:
        ((_, rows), *_) = screen_help(it.app.screen)
        assert [keys for keys, _ in rows[:3]] == ["Enter", "o", "1"]
        assert {"↑", "↓", "Home", "End", "PgUp", "PgDn"} == {keys for keys, _ in rows[-6:]}


async def test_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = a_store()
    page = tmp_path / f"gelu-tui-{store.id}.html"
    async with opened(store) as it:
        await it.press("e")
        await it.until(lambda: field(it).has_focus, "a name is asked for")
        await it.until_shown("Enter writes", page.name)
        await it.press("end", "q", "backspace", "enter")  # a letter of the name, not the way back
        await it.until_shown("Written:")
        assert table(it).has_focus and "Over 12 prompts" in page.read_text(encoding="utf-8")
        for name, said in (
            (f"{tmp_path}/x.txt", "Let the name end in .json, .md, .html, .csv or .parquet."),
            (page.name, "Overwrite it?"),
            (f"{tmp_path}/rows.csv", "Written:"),
        ):
            await it.press("e")
            await it.until(lambda: field(it).has_focus, "a name is asked for")
            field(it).value = name
            await it.press("enter")
            await it.until_shown(said)
            await it.press("n" if "?" in said else "escape" if ".csv" not in name else "1")
            await it.press("escape" if "?" in said else "1")
        rows = (tmp_path / "rows.csv").read_text(encoding="utf-8").splitlines()
        assert len(rows) == 1 + 12 * 5

"""A sweep in the app: begun, left, come back to, a run of it opened, stopped; quitting asks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gelu_tui.sweep.plan import make_plan
from gelu_tui.sweep.runner import is_complete
from gelu_tui.sweep.saved_sweeps import list_sweeps
from gelu_tui.sweep.store import SweepStore
from gelu_tui.sweep.sweep_folder import sweeps_dir
from gelu_tui.tui.engine_link.session import Phase
from gelu_tui.tui.sweep.quit import QuitScreen
from gelu_tui.tui.sweep.screen import SweepScreen
from gelu_tui.tui.terminal.shutdown import Shutdown
from tests.support.driving import Driven, an_app
from tests.support.sweep_engine import SweepEngines

FUNCTIONS = ("gelu", "gelu_approx", "relu")
COUNT = 6


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    # Else it would end the process of the tests.
    monkeypatch.setattr(Shutdown, "hurry", lambda shutdown, code=0: None)


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    path = tmp_path / "many.txt"
    path.write_text("".join(f"prompt {n}\n" for n in range(COUNT)))
    return path


@asynccontextmanager
async def app(
    engines: SweepEngines, *, size: tuple[int, int] = (100, 30), **more: Any
) -> AsyncIterator[Driven]:
    made = an_app(
        engine_command=engines, activations=FUNCTIONS, max_tokens=8, theme="textual-dark", **more
    )
    async with made.run_test(size=size) as pilot:
        yield Driven(made, pilot)


async def begun(it: Driven, prompts: Path) -> None:
    """A sweep over the file, from the prompts."""
    await it.until(lambda: it.phase is Phase.READY, "the model is loaded")
    await it.press("f3")
    await it.until_shown("Presets")
    await it.press("tab")
    await it.until(lambda: it.app.focused is not None and it.app.focused.id == "file", "the file")
    await it.type(str(prompts))
    await it.press("ctrl+r")
    await it.until_shown(f"Run {COUNT} prompts of many")
    await it.press("y")
    await it.until(lambda: isinstance(it.app.screen, SweepScreen), "the sweep is shown")


def store() -> SweepStore:
    (entry,) = list_sweeps()
    return SweepStore.open(sweeps_dir() / entry.id)


def hanging() -> SweepEngines:
    """Engines that never finish the last prompts."""
    return SweepEngines(hangs=[f"prompt {n}" for n in range(3, COUNT)], step_s=0.01)


async def test_begun_from_the_prompts_left_come_back_to_and_a_run_opened(prompts: Path) -> None:
    engines = hanging()
    async with app(engines) as it:
        await begun(it, prompts)
        assert it.phase is Phase.ASLEEP, "the model is in memory once"
        await it.until_shown("3 of 6 prompts", "now prompts 3, 4", "formula")
        await it.press("q")
        await it.until_shown("sweep 3/6")
        await it.press("tab", "S")
        await it.until_shown("3 of 6 prompts", "s stop")
        await it.press("down", "enter")
        await it.until_shown("Esc goes back to the sweep", "saved run of")
        comparison = it.app.compare.comparison
        assert comparison is not None and comparison.prompt == "prompt 1"
        assert len(engines.engines) == 2, "no engine was started for the run"
        await it.press("escape")
        await it.until(lambda: isinstance(it.app.screen, SweepScreen), "the sweep again")
        await it.until_shown("3 of 6 prompts", "prompt 1")
        screen = it.app.screen
        assert isinstance(screen, SweepScreen) and screen.shown.key == (0, 1)
        assert screen.shown.is_running


async def test_stopped_and_gone_on(prompts: Path) -> None:
    engines = hanging()
    async with app(engines) as it:
        await begun(it, prompts)
        await it.until_shown("3 of 6 prompts", "formula")
        await it.press("s")
        await it.until_shown("stopped: s goes on", "s go on")
        assert store().count().completed == 3
        engines._hangs = ()
        await it.press("s")
        await it.until_shown("6 of 6 prompts", "finished")
        assert is_complete(store())
        assert sorted(engines.compared[:3]) == ["prompt 0", "prompt 1", "prompt 2"]
        assert not {"prompt 0", "prompt 1", "prompt 2"} & set(engines.compared[COUNT:])


async def test_quitting_asks_and_loses_nothing(prompts: Path) -> None:
    async with app(hanging()) as it:
        await begun(it, prompts)
        await it.until_shown("3 of 6 prompts", "formula")
        await it.press("ctrl+q")
        await it.until_shown("A sweep is running: sweep 3/6.", "y quit")
        await it.press("n")
        await it.until(lambda: not isinstance(it.app.screen, QuitScreen), "it stays")
        assert it.app.is_running and it.app.services.running_sweep is not None
        await it.press("ctrl+q")
        await it.until_shown("A sweep is running")
        await it.press("y")
        await it.until(lambda: it.app._exit, "it quits")
    assert store().count().completed == 3
    assert store().others() == 0, "what was claimed is free"


async def test_a_second_ctrl_q_quits(prompts: Path) -> None:
    async with app(hanging()) as it:
        await begun(it, prompts)
        await it.until_shown("3 of 6 prompts")
        await it.press("ctrl+q")
        await it.until_shown("A sweep is running")
        await it.press("ctrl+q")
        await it.until(lambda: it.app._exit, "it quits")


async def test_a_run_stops_the_sweep_only_if_it_is_asked_for_twice(prompts: Path) -> None:
    engines = hanging()
    async with app(engines) as it:
        await begun(it, prompts)
        await it.until_shown("3 of 6 prompts")
        await it.press("q")
        await it.until_shown("sweep 3/6")
        await it.type("Why?")
        await it.press("enter")
        await it.until_shown("A sweep is running. Enter again stops it for this")
        assert it.app.services.running_sweep is not None
        await it.press("enter")
        await it.until_finished()
        assert it.comparison.prompt == "Why?"
        assert it.app.services.running_sweep is None
        assert store().count().completed == 3
        running = [client for client in engines.clients if client.running]
        assert len(running) == 1, "the sweep's engine has ended"


async def test_a_sweep_waits_for_a_run(prompts: Path) -> None:
    plan = make_plan(str(prompts), ({"activations": FUNCTIONS},), {}, local=False)
    async with app(SweepEngines(hangs=["Why?"], step_s=0.01)) as it:
        await it.until(lambda: it.phase is Phase.READY, "the model is loaded")
        await it.type("Why?")
        await it.press("enter")
        await it.until(lambda: it.phase is Phase.RUNNING, "the run")
        await it.app.navigation.sweeps.open(plan)
        await it.until_shown("A run is going on.")
        assert it.app.services.sweep is None


async def test_the_app_opens_with_a_sweep_and_a_finished_one_needs_no_engine(
    prompts: Path,
) -> None:
    plan = make_plan(str(prompts), ({"activations": FUNCTIONS, "max_tokens": 8},), {}, local=False)
    engines = SweepEngines()
    async with app(engines, sweep=plan) as it:
        await it.until_shown("6 of 6 prompts", "finished")
    assert len(engines.engines) == 1, "one for the sweep, none for the app"
    again = SweepEngines()
    async with app(again, sweep=plan) as it:
        await it.until_shown("6 of 6 prompts", "finished", "formula")
    assert again.engines == []


async def test_a_model_that_cannot_be_loaded_is_told(prompts: Path) -> None:
    chosen = {"activations": FUNCTIONS, "models": ("b/missing",)}
    plan = make_plan(str(prompts), (chosen,), {}, local=False)
    async with app(SweepEngines(), sweep=plan) as it:
        await it.until_shown("There is no such model. Look again.")
        await it.press("q")
        await it.until(lambda: it.app.screen is it.app.compare, "the comparison")


async def test_the_history_lists_sweeps_and_opens_one(prompts: Path) -> None:
    plan = make_plan(str(prompts), ({"activations": FUNCTIONS, "max_tokens": 8},), {}, local=False)
    engines = SweepEngines()
    async with app(engines, sweep=plan) as it:
        await it.until_shown("6 of 6 prompts", "finished")
        await it.press("q")
        await it.until(lambda: it.app.screen is it.app.compare, "the comparison")
        await it.press("f6")
        await it.until_shown("1 sweep", "sweep many: 6 of 6", "gelu_approx against")
        await it.press("c")
        await it.until_shown("Enter opens the sweep; c there shows another one beside it.")
        await it.press("e")
        await it.until_shown("That is for runs")
        await it.press("enter")
        await it.until_shown("6 of 6 prompts", "finished", "formula")
        await it.press("q")
        await it.until_shown("1 sweep")
        await it.press("x")
        await it.until_shown("Delete the sweep many-")
        await it.press("y")
        await it.until_shown("is deleted.")
    assert list_sweeps() == []

"""Fetching a model from the models screen; the engine of a fetch is a fake."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from gelu_tui.core.models.inventory import HubSize
from gelu_tui.tui.models import screen
from tests.support.driving import fake_engine
from tests.support.model_folders import cached_repo, model_folder
from tests.support.models_shown import ONE_B, Shown, own_machine, shown


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    async def nothing(*_: object) -> tuple[HubSize, ...]:
        return ()

    monkeypatch.setattr(screen, "_ask_sizes", nothing)  # by an engine that is no fetch
    return own_machine(tmp_path, monkeypatch)


def fetching_processes() -> list[psutil.Process]:
    """Engines that the screen has started and that live; those of a search end by themselves."""

    def fetches(process: psutil.Process) -> bool:
        try:
            alive = process.status() != psutil.STATUS_ZOMBIE
            return alive and any("fake_engine" in word for word in process.cmdline())
        except psutil.NoSuchProcess:  # it has just ended
            return False

    return [child for child in psutil.Process().children(recursive=True) if fetches(child)]


@asynccontextmanager
async def fetching(step_s: float = 0.005) -> AsyncIterator[Shown]:
    """The screen with its list, which starts its engines as processes from here on."""
    async with shown() as it:
        it.screen_shown._engine_command = fake_engine("five", step_s)
        yield it


async def test_fetching_shows_progress_and_then_the_model_loads(
    cache: Path, tmp_path: Path
) -> None:
    async with fetching(step_s=0.1) as it:
        await it.to(ONE_B)
        await it.press("f")
        await it.until_shown(f"Fetching {ONE_B}")
        await it.until_shown("of 243 MB · 12.5 MB/s ·")
        await it.until_shown("s left · model.safetensors (2 of 5 files)")
        await it.until(lambda: "↓" in it.flat(), "the row tells it too")
        cached_repo(cache, ONE_B, model_folder(tmp_path / "made"))
        await it.until_shown(f"{ONE_B} is here. Enter loads it.")
        await it.until(lambda: it.at == ONE_B, "the cursor is at the new model")
        await it.until(lambda: not fetching_processes(), "its engine has ended")
        assert "Fetching" not in it.flat()
        await it.press("enter")
        assert await it.result() == ONE_B


async def test_an_id_that_is_named_is_fetched() -> None:
    async with fetching() as it:
        await it.name("maker/gemma-mine")
        await it.until_shown("maker/gemma-mine is here. Enter loads it.")
        assert it.at == "maker/gemma-mine"


async def test_one_fetch_at_a_time() -> None:
    async with fetching(step_s=1) as it:
        await it.to(ONE_B)
        await it.press("f")
        await it.until_shown("of 243 MB")
        await it.to("google/gemma-7b-it")
        await it.press("f")
        await it.until_shown(f"One at a time: {ONE_B} is being fetched.")
        assert len(fetching_processes()) == 1


async def test_a_fetch_is_stopped() -> None:
    async with fetching(step_s=1) as it:
        await it.to(ONE_B)
        await it.press("f")
        await it.until_shown("of 243 MB")
        await it.press("x")
        await it.until_shown("Stopped. Whole files are kept: f fetches those that are missing.")
        await it.until(lambda: not fetching_processes(), "its engine has ended")
        assert it.at == ONE_B
        await it.press("f")
        await it.until_shown("of 243 MB")


async def test_a_fetch_is_stopped_before_its_engine_listens() -> None:
    async with fetching(step_s=1) as it:
        await it.to(ONE_B)
        it.screen_shown.action_fetch()
        it.screen_shown.action_stop()
        await it.until_shown("Stopped.")
        await it.until(lambda: not fetching_processes(), "its engine has ended")


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("google/x", "then log in with `hf auth login`"),
        ("nobody/x", "The hub has no model nobody/x"),
        ("dies/x", "The engine was killed"),
    ],
)
async def test_a_fetch_that_fails_is_told_and_the_screen_goes_on(model: str, said: str) -> None:
    async with fetching() as it:
        await it.name(model)
        await it.until_shown(said)
        assert it.at == model
        await it.until(lambda: not fetching_processes(), "its engine has ended")
        await it.to(ONE_B)
        await it.press("f")
        await it.until_shown(f"{ONE_B} is here.")


async def test_an_engine_that_cannot_be_started() -> None:
    async with fetching() as it:
        it.screen_shown._engine_command = shlex.join(["/nowhere/engine"])
        await it.to(ONE_B)
        await it.press("f")
        await it.until_shown("✗ The engine command '/nowhere/engine' cannot be started")


async def test_leaving_while_it_fetches_warns_and_leaves_no_process() -> None:
    async with fetching(step_s=1) as it:
        await it.to(ONE_B)
        await it.press("f")
        await it.until_shown("of 243 MB")
        await it.press("q")
        await it.until_shown(
            "Leaving stops the fetch; files that have arrived whole are kept. q again leaves."
        )
        assert not it.results
        await it.press("q")
        assert await it.result() is None
        await it.until(lambda: not fetching_processes(), "its engine has ended")


async def test_quitting_the_app_leaves_no_process() -> None:
    async with fetching(step_s=1) as it:
        await it.to(ONE_B)
        await it.press("f")
        await it.until_shown("of 243 MB")
        assert fetching_processes()
    _, alive = await asyncio.to_thread(psutil.wait_procs, fetching_processes(), timeout=60)
    assert not alive


async def test_what_is_here_is_not_fetched_again(cache: Path, tmp_path: Path) -> None:
    cached_repo(cache, ONE_B, model_folder(tmp_path / "made"))
    async with fetching() as it:
        await it.to(ONE_B)
        await it.press("f")
        await it.until_shown("It is here already: Enter loads it.")
        assert not fetching_processes()

"""The models screen alone in an app, over a disk and a memory of the test's own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.app import App
from textual.widgets import Input

from gelu_tui.tui.screens.models import LoadModel, ModelsScreen
from gelu_tui.tui.screens.models_table import ModelTable
from tests.tui.driving import fake_engine, screen_text
from tests.tui.settling import post_key, settle

GB = 1_000_000_000
ONE_B = "mlx-community/gemma-3-1b-it-qat-4bit"


def own_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub's cache of the test's own, which is returned; an installed demo that is not converted.

    The fake engine searches it, and has 10 GB for a model.
    """
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("FAKE_ENGINE_DEMO", str(tmp_path / "demo"))
    return tmp_path / "hub"


class Shown:
    """A running screen, and with what it was dismissed."""

    def __init__(self, app: App[None], screen: ModelsScreen) -> None:
        self.app = app
        self.screen = screen
        self.results: list[LoadModel | None] = []

    @property
    def table(self) -> ModelTable:
        return self.screen.query_one(ModelTable)

    @property
    def at(self) -> str:
        """The id under the cursor."""
        return self.table.chosen.id if self.table.chosen else ""

    def flat(self) -> str:
        return " ".join(screen_text(self.app).split())

    async def until(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if condition():
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"never: {what}; on the screen:\n{screen_text(self.app)}")

    async def until_shown(self, text: str) -> None:
        await self.until(lambda: text in self.flat(), f"'{text}' on the screen")

    async def press(self, *keys: str) -> None:
        for key in keys:
            post_key(self.app, key)
            await settle(self.app)

    async def to(self, model: str) -> None:
        """Move the cursor to a model, by keys."""
        await self.until(lambda: model in self.table.ids, f"{model} is listed")
        for _ in range(40):
            if self.at == model:
                return
            down = self.table.ids.index(model) > self.table.cursor_row
            await self.press("down" if down else "up")
        await self.until(lambda: self.at == model, f"the cursor is at {model}")

    async def name(self, text: str) -> None:
        """Type into the field."""
        await self.press("slash")
        field = self.screen.query_one(Input)
        await self.until(lambda: field.has_focus, "the field has the focus")
        field.value = text
        await self.press("enter")

    async def result(self) -> LoadModel | None:
        await self.until(lambda: self.results, "the screen is closed")
        (result,) = self.results
        return result


@asynccontextmanager
async def shown(
    size: tuple[int, int] = (120, 36),
    *,
    current: str = "demo",
    folders: tuple[str, ...] = (),
    step_s: float = 0.005,
    held_bytes: int = 0,
) -> AsyncIterator[Shown]:
    app: App[None] = App()
    async with app.run_test(size=size):
        screen = ModelsScreen(
            current,
            held_bytes=held_bytes,
            folders=folders,
            engine_command=fake_engine("five", step_s),
        )
        it = Shown(app, screen)
        await app.push_screen(screen, it.results.append)
        await it.until(lambda: it.at, "models are listed")
        yield it
    # What the app has cancelled still ends its engines, on this loop.
    if rest := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(rest, timeout=60)

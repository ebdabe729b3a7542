"""The models screen alone in an app, over a disk and a memory of the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from huggingface_hub import constants
from textual.widgets import Input

from gelu_tui.tui.models.screen import ModelsScreen
from gelu_tui.tui.models.table import ModelTable
from tests.support.driving import Alone, ScreenApp
from tests.support.in_memory import FakeEngines

GB = 1_000_000_000
ONE_B = "mlx-community/gemma-3-1b-it-qat-4bit"


def own_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub's cache of the test's own, which is returned; an installed demo that is not converted.

    The fake engine searches it, in memory or as a process, and has 10 GB for a model.
    """
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))  # a new process reads it
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("FAKE_ENGINE_DEMO", str(tmp_path / "demo"))
    return tmp_path / "hub"


class Shown(Alone):
    """The models screen."""

    @property
    def screen_shown(self) -> ModelsScreen:
        assert isinstance(self.app.shown, ModelsScreen)
        return self.app.shown

    @property
    def table(self) -> ModelTable:
        return self.screen_shown.query_one(ModelTable)

    @property
    def at(self) -> str:
        """The id under the cursor."""
        return self.table.chosen.id if self.table.chosen else ""

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
        field = self.screen_shown.query_one(Input)
        await self.until(lambda: field.has_focus, "the field has the focus")
        field.value = text
        await self.press("enter")


@asynccontextmanager
async def shown(
    size: tuple[int, int] = (120, 36),
    *,
    current: str = "demo",
    folders: tuple[str, ...] = (),
    held_bytes: int = 0,
) -> AsyncIterator[Shown]:
    screen = ModelsScreen(current, held_bytes, FakeEngines())
    screen._folders.extend(folders)
    app = ScreenApp(screen)
    async with app.run_test(size=size) as pilot:
        it = Shown(app, pilot)
        await it.until(lambda: it.at, "models are listed")
        yield it
    # What the app has cancelled still ends its engines, on this loop.
    if rest := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(rest, timeout=60)

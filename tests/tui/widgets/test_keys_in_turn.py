"""Keys that come in one packet act in the order in which they were typed."""

from __future__ import annotations

import asyncio

import pytest
from textual.app import App, ComposeResult
from textual.events import Key
from textual.widget import Widget
from textual.widgets import Input

from gelu_tui.tui.compare.prompt import Prompt
from gelu_tui.tui.functions.screen import FormulaField


class Fields(App[None]):
    """One of each."""

    def compose(self) -> ComposeResult:
        yield Prompt()
        yield FormulaField()


def text_of(field: Widget) -> str:
    return field.value if isinstance(field, Input) else getattr(field, "text", "")


@pytest.mark.parametrize("kind", [Prompt, FormulaField])
async def test_letters_do_not_overtake_what_edits(kind: type[Widget]) -> None:
    app = Fields()
    async with app.run_test() as pilot:
        field = app.query_one(kind)
        field.focus()
        await pilot.pause()
        for key in [*"abc", *["backspace"] * 3, *"xy", "left", "1", "home", "2", "end", "3"]:
            app.post_message(Key(key, key if len(key) == 1 else None))
        for _ in range(1000):
            if text_of(field) == "2x1y3":
                return
            await asyncio.sleep(0.02)
        pytest.fail(f"it became {text_of(field)!r}")

"""What a screen has waited for is dropped as soon as the screen is left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from textual.app import App, ComposeResult
from textual.screen import Screen
from textual.widgets import Static

from gelu_tui.tui.widgets.background import is_open


class Small(Screen[None]):
    def compose(self) -> ComposeResult:
        yield Static(id="part")


@contextmanager
def closing(app: App[None]) -> Iterator[None]:
    """As while an app ends: its screens are still there, and lose their widgets one by one."""
    app._running = False
    yield
    app._running = True


async def test_a_screen_is_open_until_it_is_dismissed() -> None:
    app = App[None]()
    async with app.run_test():
        small = Small()
        assert not is_open(small)
        await app.push_screen(small)
        part = small.query_one("#part")
        assert is_open(small) and is_open(part)
        await app.push_screen(Small())
        assert is_open(part), "another screen on top of it closes nothing"
        app.pop_screen()
        left = small.dismiss()
        assert small.is_attached, "that still takes a moment"
        assert not is_open(small) and not is_open(part)
        await left
        assert not is_open(small) and not is_open(part)


async def test_no_screen_is_open_once_the_app_ends() -> None:
    app = App[None]()
    async with app.run_test():
        await app.push_screen(small := Small())
        with closing(app):
            assert small.is_attached
            assert not is_open(small) and not is_open(small.query_one("#part"))

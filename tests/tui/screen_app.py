"""A screen by itself in an app: pushed at the start, its result kept."""

from __future__ import annotations

import asyncio
import html
import re
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from textual.app import App
from textual.pilot import Pilot
from textual.screen import Screen

from tests.tui.settling import post_key, settle

OPEN = object()


class ScreenApp(App[None]):
    """Pushes one screen; `result` is what it was dismissed with, `OPEN` until then."""

    def __init__(self, pushed: Screen[Any]) -> None:
        super().__init__()
        self.pushed = pushed
        self.result: object = OPEN
        self.animation_level = "none"

    def on_mount(self) -> None:
        self.push_screen(self.pushed, self._keep)

    def _keep(self, result: object) -> None:
        self.result = result


class Shown:
    """The running app, driven by keys as a terminal would send them."""

    def __init__(self, app: ScreenApp, pilot: Pilot[None]) -> None:
        self.app = app
        self.pilot = pilot

    async def press(self, *keys: str) -> None:
        for key in keys:
            post_key(self.app, key)
        await settle(self.app)

    async def type(self, text: str) -> None:
        for char in text:
            post_key(self.app, char)
        await settle(self.app)

    async def click(self, x: int, y: int) -> None:
        await self.pilot.click(offset=(x, y))

    async def until(self, condition: Callable[[], object], what: str) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, f"never: {what}; on the screen:\n{self.screen()}"
            await asyncio.sleep(0.05)

    async def until_shown(self, *texts: str) -> None:
        await self.until(
            lambda: all(text in self.flat() for text in texts), f"{texts} on the screen"
        )

    async def until_gone(self, text: str) -> None:
        await self.until(lambda: text not in self.flat(), f"no more '{text}'")

    async def until_result(self, result: object) -> None:
        await self.until(lambda: self.app.result is not OPEN, "a result")
        assert self.app.result == result

    def screen(self) -> str:
        return screen_text(self.app)

    def flat(self) -> str:
        return " ".join(self.screen().split())


def screen_text(app: App[Any]) -> str:
    """The rows of the screen, read from Textual's own export."""
    rows: defaultdict[float, dict[float, str]] = defaultdict(dict)
    cells = re.findall(
        r'<text class="[^"]*-r\d+" x="([\d.]+)" y="([\d.]+)"[^>]*>([^<]*)</text>',
        app.export_screenshot(),
    )
    for x, y, text in cells:
        rows[float(y)][round(float(x) / 12.2)] = html.unescape(text).replace("\xa0", " ")
    lines = []
    for _, parts in sorted(rows.items()):
        line = ""
        for x, text in sorted(parts.items()):
            line = line.ljust(int(x)) + text
        lines.append(line.rstrip())
    return "\n".join(lines)


@asynccontextmanager
async def shown(
    screen: Screen[Any], size: tuple[int, int] = (80, 24), theme: str = "textual-dark"
) -> AsyncIterator[Shown]:
    """The screen in an app of this size."""
    app = ScreenApp(screen)
    app.theme = theme
    async with app.run_test(size=size) as pilot:
        it = Shown(app, pilot)
        await it.until(lambda: app.screen is screen and screen.is_mounted, "the screen is there")
        yield it

"""Driving the app in tests: the real app, the real client, a fake engine as a real process."""

from __future__ import annotations

import asyncio
import shlex
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from gelu_tui.core.comparison import Comparison
from gelu_tui.tui.app import GeluApp
from gelu_tui.tui.options import AppOptions
from gelu_tui.tui.session import Phase
from tests.tui.screen_app import screen_text
from tests.tui.settling import post_key, settle

FIVE = ("gelu", "gelu_approx", "gelu_fast_approx", "silu", "relu")
PROMPT = "Why is the sky blue?"

_FAKE_ENGINE = Path(__file__).parents[1] / "fake_engine.py"


def fake_engine(scenario: str, step_s: float = 0.005) -> str:
    """The engine command of a scenario."""
    words = (sys.executable, _FAKE_ENGINE, "--scenario", scenario, "--step-s", step_s)
    return shlex.join(map(str, words))


class NothingShown(AssertionError):
    """There is no comparison on the screen: none was started, or the engine has not begun it."""


class Driven:
    """A running app and its pilot."""

    def __init__(self, app: GeluApp, pilot: Pilot[None]) -> None:
        self.app = app
        self.pilot = pilot

    @property
    def phase(self) -> Phase:
        return self.app.session.phase

    @property
    def comparison(self) -> Comparison:
        if self.app.compare.comparison is None:
            raise NothingShown("no comparison is on the screen")
        return self.app.compare.comparison

    @property
    def finished(self) -> bool:
        shown = self.app.compare.comparison
        return shown is not None and shown.status is not None and self.phase is Phase.READY

    async def until(
        self,
        condition: Callable[[], object],
        what: str,
        *,
        timeout_s: float = 60,
        every_s: float = 0.02,
    ) -> None:
        # Not the pilot's pause: it waits until the screen is idle, which a running one is not.
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            # Between the order to run and the first event of the run there is no comparison.
            with suppress(NothingShown):
                if condition():
                    return
            await asyncio.sleep(every_s)
        raise AssertionError(f"never: {what}; on the screen:\n{self.screen()}")

    async def until_shown(self, text: str) -> None:
        # A screenshot costs tens of milliseconds.
        await self.until(lambda: text in self.flat(), f"'{text}' on the screen", every_s=0.1)

    async def until_finished(self) -> None:
        await self.until(lambda: self.finished, "the run has finished")
        await settle(self.app)

    # Keys are posted as a terminal's would be: the pilot waits after each until the whole process
    # is idle, and by then a short run is over.

    async def type(self, text: str) -> None:
        for char in text:
            post_key(self.app, char)
        await settle(self.app)

    async def press(self, *keys: str) -> None:
        for key in keys:
            post_key(self.app, key)
            await settle(self.app)

    def screen(self) -> str:
        """What the terminal shows, as text."""
        return screen_text(self.app)

    def flat(self) -> str:
        """What the terminal shows, on one line: a sentence may be wrapped."""
        return " ".join(self.screen().split())


@asynccontextmanager
async def driven(
    scenario: str = "five",
    *,
    size: tuple[int, int] = (120, 36),
    step_s: float = 0.005,
    **options: Any,
) -> AsyncIterator[Driven]:
    """The app with a fake engine; `options` are those of `AppOptions`."""
    settings: dict[str, Any] = {
        "engine_command": fake_engine(scenario, step_s),
        "activations": FIVE,
        "max_tokens": 40,
        "theme": "textual-dark",
        **options,
    }
    app = GeluApp(AppOptions(**settings))
    async with app.run_test(size=size) as pilot:
        yield Driven(app, pilot)


@asynccontextmanager
async def ready(scenario: str = "five", **options: Any) -> AsyncIterator[Driven]:
    """The app once its model is loaded."""
    async with driven(scenario, **options) as it:
        await it.until(lambda: it.phase is Phase.READY, "the model is loaded")
        yield it

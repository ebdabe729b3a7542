"""Driving an app in tests: keys as a terminal would send them, and waiting for what they do."""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Generic, TypeVar

from rich.segment import Segment
from textual import events
from textual.app import App
from textual.pilot import Pilot
from textual.screen import Screen

from gelu_tui.client import EngineCommand
from gelu_tui.core.comparison.state import Comparison
from gelu_tui.core.settings.user_file import Settings
from gelu_tui.tui.app import GeluApp
from gelu_tui.tui.engine_link.session import Phase
from tests.support.in_memory import FakeEngines
from tests.support.jumping_time import real_monotonic

FIVE = ("gelu", "gelu_approx", "gelu_fast_approx", "silu", "relu")
WIDE = (120, 36)
PROMPT = "Why is the sky blue?"

_FAKE_ENGINE = Path(__file__).with_name("fake_engine.py")

# From the app to the focused widget, to what its action posts, to who hears that, to the screen.
_HOPS = 4

A = TypeVar("A", bound=App[Any])


def fake_engine(scenario: str, step_s: float = 0.005) -> str:
    """The command of a fake engine in a process of its own, for where that is what is tested."""
    words = (sys.executable, _FAKE_ENGINE, "--scenario", scenario, "--step-s", step_s)
    return shlex.join(map(str, words))


class NothingShown(AssertionError):
    """There is no comparison on the screen: none was started, or the engine has not begun it."""


class Driver(Generic[A]):
    """A running app and its pilot."""

    def __init__(self, app: A, pilot: Pilot[Any]) -> None:
        self.app = app
        self.pilot = pilot

    # --- waiting ------------------------------------------------------------------------------

    async def until(
        self, condition: Callable[[], object], what: str, *, every_s: float = 0.02
    ) -> None:
        # Not the pilot's pause: it waits until the screen is idle, which a running one is not.
        # And not the time that jumps: what is waited for may be done by a thread.
        deadline = real_monotonic() + 60
        while real_monotonic() < deadline:
            # Between the order to run and the first event of the run there is no comparison.
            with suppress(NothingShown):
                if condition():
                    return
            await asyncio.sleep(every_s)
        raise AssertionError(f"never: {what}; on the screen:\n{self.screen()}")

    async def until_shown(self, *texts: str) -> None:
        await self.until(
            lambda: all(text in self.flat() for text in texts),
            f"{texts} on the screen",
            every_s=0.05,
        )

    async def until_gone(self, text: str) -> None:
        await self.until(lambda: text not in self.flat(), f"no more '{text}'", every_s=0.05)

    async def settle(self) -> None:
        """Wait until what was posted is handled and drawn, however busy the machine is.

        Not until the process is idle, as `Pilot.press` does: a screen with a run on it never is.
        """
        for _ in range(_HOPS):
            await self.pilot.pause(0)

    # --- keys and mouse -----------------------------------------------------------------------

    # Keys are posted as a terminal's would be: the pilot waits after each until the whole process
    # is idle, and by then a short run is over.

    async def press(self, *keys: str) -> None:
        """Press keys, named as Textual names them, one after the other."""
        for key in keys:
            self._post_key(key)
            await self.settle()

    async def type(self, text: str) -> None:
        for char in text:
            self._post_key(char)
        await self.settle()

    def _post_key(self, key: str) -> None:
        char = " " if key == "space" else key
        event = events.Key("space" if key == " " else key, char if len(char) == 1 else None)
        self.app.post_message(event)

    async def click(self, x: int, y: int) -> None:
        await self.pilot.click(offset=(x, y))

    # --- what is seen -------------------------------------------------------------------------

    def screen(self) -> str:
        """What the terminal shows, as text."""
        return screen_text(self.app)

    def flat(self) -> str:
        """What the terminal shows, on one line and without frames: a sentence may be wrapped."""
        return " ".join(self.screen().replace("│", " ").split())


def screen_rows(app: App[Any]) -> Iterator[list[Segment]]:
    """The rows of the screen, from where Textual's own export takes them: what is behind a modal
    screen is there too.
    """
    update: Any = app.screen._compositor.render_update(
        full=True, screen_stack=app._background_screens
    )
    for strips in update.strips:
        yield [segment for strip in strips for segment in strip if not segment.control]


def screen_text(app: App[Any]) -> str:
    """The rows of the screen as text. Textual's export of it would take ten times as long."""
    rows = ("".join(segment.text for segment in row) for row in screen_rows(app))
    return "\n".join(row.replace("\xa0", " ").rstrip() for row in rows)


# --- a screen alone -------------------------------------------------------------------------------


class ScreenApp(App[None]):
    """Shows one screen and keeps what it was dismissed with."""

    def __init__(self, shown: Screen[Any]) -> None:
        super().__init__()
        self.shown = shown
        self.results: list[Any] = []
        self.animation_level = "none"

    def on_mount(self) -> None:
        self.push_screen(self.shown, self.results.append)


class Alone(Driver[ScreenApp]):
    """A screen alone in an app."""

    @property
    def results(self) -> list[Any]:
        return self.app.results

    async def result(self) -> Any:
        """Wait until the screen is dismissed, and return with what."""
        await self.until(lambda: self.app.results, "the screen is closed")
        (result,) = self.app.results
        return result


@asynccontextmanager
async def alone(
    screen: Screen[Any], size: tuple[int, int] = (80, 24), theme: str = "textual-dark"
) -> AsyncIterator[Alone]:
    """A screen alone in an app of this size."""
    app = ScreenApp(screen)
    app.theme = theme
    async with app.run_test(size=size) as pilot:
        it = Alone(app, pilot)
        await it.until(lambda: app.screen is screen and screen.is_mounted, "the screen is there")
        yield it


# --- the whole app --------------------------------------------------------------------------------


class Driven(Driver[GeluApp]):
    """The app with fake engines."""

    @property
    def engines(self) -> FakeEngines:
        engines = self.app.services.engine_command
        assert isinstance(engines, FakeEngines)
        return engines

    @property
    def phase(self) -> Phase:
        return self.app.engine.phase

    @property
    def comparison(self) -> Comparison:
        if self.app.compare.comparison is None:
            raise NothingShown("no comparison is on the screen")
        return self.app.compare.comparison

    @property
    def finished(self) -> bool:
        shown = self.app.compare.comparison
        return shown is not None and shown.status is not None and self.phase is Phase.READY

    async def until_finished(self) -> None:
        await self.until(lambda: self.finished, "the run has finished")
        await self.settle()


def an_app(engine_command: EngineCommand = None, **options: Any) -> GeluApp:
    """The app; `options` are settings and its own parameters in one."""
    names = ("prompt", "warnings", "saved", "number", "sweep", "text")
    others = {name: options.pop(name) for name in names if name in options}
    return GeluApp(Settings(**options), engine_command=engine_command, **others)


@asynccontextmanager
async def driven(
    scenario: str = "five",
    *,
    size: tuple[int, int] = WIDE,
    step_s: float = 0.005,
    **options: Any,
) -> AsyncIterator[Driven]:
    """The app with a fake engine; `options` are settings and parameters of the app."""
    settings: dict[str, Any] = {
        "engine_command": FakeEngines(scenario, step_s),
        "activations": FIVE,
        "max_tokens": 40,
        "theme": "textual-dark",
        **options,
    }
    app = an_app(**settings)
    async with app.run_test(size=size) as pilot:
        yield Driven(app, pilot)


@asynccontextmanager
async def ready(scenario: str = "five", **options: Any) -> AsyncIterator[Driven]:
    """The app once its model is loaded."""
    async with driven(scenario, **options) as it:
        await it.until(lambda: it.phase is Phase.READY, "the model is loaded")
        yield it

"""The transport of a fake engine in the event loop of its client: no process is started."""

from __future__ import annotations

import asyncio
import signal

from gelu_tui import client
from tests.support.fake_engine import FakeEngine
from tests.support.stand_in import Died, StandIn


class InMemory:
    """The transport of a fake engine that runs in the app's own event loop."""

    def __init__(self, engine: StandIn) -> None:
        self._engine = engine
        self._events: asyncio.StreamReader  # of the event loop in which it starts
        self._task: asyncio.Task[None] | None = None
        self._code: int | None = None
        self._last_words = ""

    @property
    def running(self) -> bool:
        return self._task is not None and not self._task.done()

    async def start(self) -> None:
        self._events = asyncio.StreamReader(limit=client._LINE_LIMIT)
        self._task = asyncio.create_task(self._serve())

    async def _serve(self) -> None:
        try:
            await self._engine.serve(self._events.feed_data)
        except Died as died:
            self._code, self._last_words = -signal.SIGKILL, str(died)
        finally:
            self._events.feed_eof()

    async def write(self, line: bytes) -> None:
        if not self.running:
            raise BrokenPipeError
        self._engine.take(line)

    async def read(self) -> bytes:
        return await self._events.readline()

    async def exit_status(self) -> tuple[int | None, list[str]]:
        return self._code, [self._last_words] if self._last_words else []

    async def close(self) -> None:
        self.kill()
        if self._task is not None:
            await asyncio.wait([self._task])

    def kill(self, code: int = -signal.SIGKILL) -> None:
        """End it, as by a signal from outside."""
        if self._task is not None and not self._task.done():
            self._code = code
            self._task.cancel()
            self._events.feed_eof()  # the task may never have begun


class FakeEngines:
    """What the app starts its engines with; keeps all that were started."""

    def __init__(self, scenario: str = "five", step_s: float = 0.005) -> None:
        self.scenario = scenario  # of the next one
        self.step_s = step_s
        self.started: list[InMemory] = []

    def __call__(self) -> InMemory:
        self.started.append(InMemory(FakeEngine(self.scenario, self.step_s)))
        return self.started[-1]

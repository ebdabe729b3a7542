"""The app's engine as a state machine, and requests to an engine process of their own."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeVar

from textual.message import Message

from gelu_tui.client import EngineClient, EngineCommand, EngineDied
from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo, GeluError

_Answer = TypeVar("_Answer", bound=p.Event)

_CANCEL_GRACE_S = 2.0


@dataclass
class EngineEvent(Message):
    """One event; `client` distinguishes a replaced engine's late events from the present one's."""

    client: EngineClient
    event: p.Event


@dataclass
class EngineLost(Message):
    """An engine died, could not be started, or broke the protocol."""

    client: EngineClient
    error: ErrorInfo


class Phase(Enum):
    """What the engine is doing."""

    STARTING = auto()  # the process comes up
    LOADING = auto()
    READY = auto()
    RUNNING = auto()
    STOPPING = auto()  # a cancel is sent, the run has not ended yet
    NO_MODEL = auto()  # the engine lives, but its load failed or was cancelled
    LOST = auto()  # no engine
    ASLEEP = auto()  # no engine yet: a saved run is read, which needs none


BUSY = frozenset({Phase.STARTING, Phase.LOADING, Phase.RUNNING, Phase.STOPPING})


class EngineLink:
    """One engine at a time and one run at a time.

    `follow` is the body of a worker and touches nothing but its own client; everything else is
    called from the app's message handlers.
    """

    def __init__(self, load: p.Load, engine_command: EngineCommand = None) -> None:
        self._load = load
        self._engine_command = engine_command
        self.client: EngineClient | None = None
        self.phase = Phase.STARTING
        self.loaded: p.Loaded | None = None
        self.progress: p.Progress | None = None
        self.pending: p.Command | None = None
        self.command: p.Command | None = None  # of the present or the last run
        self.job = 0  # the id of the present or the last load or run
        self._phase_since = self._heard_at = time.monotonic()

    @property
    def model(self) -> str:
        """The model that was asked for, as the user wrote it."""
        return self._load.model

    @property
    def silent_s(self) -> float:
        """Seconds since the last event of the engine, or since the phase began."""
        return time.monotonic() - max(self._heard_at, self._phase_since)

    @property
    def phase_s(self) -> float:
        """Seconds that the present phase has lasted."""
        return time.monotonic() - self._phase_since

    def renew(self) -> EngineClient:
        """Kill the engine, if any, and return a new client; `follow` then starts its engine."""
        self.kill()
        self.client = EngineClient(self._engine_command)
        self.loaded = None
        self._enter(Phase.STARTING)
        return self.client

    async def follow(
        self, client: EngineClient, post: Callable[[EngineEvent | EngineLost], object]
    ) -> None:
        """Start `client`, ask for the model, and post every event until the engine ends."""
        try:
            hello = await client.start()
            load = await client.send(self._load)
            if client is self.client:  # else it was replaced meanwhile
                self.job = load
            post(EngineEvent(client, hello))
            async for event in client.events():
                post(EngineEvent(client, event))
        except GeluError as error:
            post(EngineLost(client, error.info))
        finally:
            await client.close()

    def sleep(self) -> None:
        """Start no engine until something is run."""
        self._enter(Phase.ASLEEP)

    def choose_model(self, model: str, dtype: str | None) -> None:
        """Set the model of the next load, and the dtype of its weights (None: as stored)."""
        self._load = p.Load(model, dtype)

    def kill(self) -> None:
        """End the engine at once, from anywhere."""
        if self.client is not None:
            self.client.kill()

    async def close(self) -> None:
        """End the engine. Raises nothing."""
        if self.client is not None:
            await self.client.close()

    async def run(self, command: p.Command) -> bool:
        """Run `command` now or as soon as possible; False means that a new engine is needed."""
        self.pending = command
        if self.phase in (Phase.LOST, Phase.ASLEEP):
            return False
        match self.phase:
            case Phase.READY:
                await self._become_ready()
            case Phase.RUNNING:
                await self.stop()
            case Phase.NO_MODEL:
                self._enter(Phase.LOADING)
                self.job = await self.send(self._load)
        return True

    def withdraw(self) -> bool:
        """Drop the queued run; return whether there was one."""
        waited, self.pending = self.pending is not None, None
        return waited

    async def stop(self) -> None:
        """Cancel the present load or run."""
        if self.phase in (Phase.LOADING, Phase.RUNNING):
            self._enter(Phase.STOPPING)
            await self.send(p.Cancel())

    async def apply(self, event: p.Event) -> bool:
        """Update the state by an event; return whether it is about the present load or run."""
        self._heard_at = time.monotonic()
        if event.id not in (0, self.job):
            return False
        match event:
            case p.Hello():
                self._enter(Phase.LOADING)
            case p.Progress():
                self.progress = event
            case p.Loaded():
                self.loaded = event
                await self._become_ready()
            case p.Failed() | p.Cancelled() if self.loaded is None:
                self.pending = None
                self._enter(Phase.NO_MODEL)
            case p.Step() | p.Started():
                self.progress = None
            case _ if event.last:
                await self._become_ready()
        return True

    def lose(self) -> None:
        """End the engine; events of it that are still queued are ignored from now on."""
        self.kill()
        self.client = self.pending = self.loaded = None
        self._enter(Phase.LOST)

    async def _become_ready(self) -> None:
        self._enter(Phase.READY)
        command, self.pending = self.pending, None
        if command is not None:
            self._enter(Phase.RUNNING)
            self.command = command
            self.job = await self.send(command)

    async def send(self, command: p.Command) -> int:
        """Send a command; return its id, or 0 if the engine is gone."""
        # A death is reported once, by the worker that reads the events.
        if self.client is not None:
            with contextlib.suppress(EngineDied):
                return await self.client.send(command)
        return 0

    def _enter(self, phase: Phase) -> None:
        self.phase = phase
        self.progress = None
        self._phase_since = time.monotonic()


async def ask(
    command: p.Command,
    kind: type[_Answer],
    engine_command: EngineCommand = None,
    on_progress: Callable[[p.Progress], None] = lambda _: None,
) -> _Answer:
    """Return the answer of an engine of its own, which ends after it, and if this is cancelled.

    Raises `GeluError` if the command or the engine fails.
    """
    async with EngineClient(engine_command) as client:
        try:
            async for event in client.ask(command):
                match event:
                    case p.Progress():
                        on_progress(event)
                    case p.Failed(error):
                        raise GeluError(error.kind, error.message, error.hint)
                    case _ if isinstance(event, kind):
                        return event
        except asyncio.CancelledError:
            # The engine tidies up before it ends: a fetch removes incomplete files.
            with contextlib.suppress(GeluError, TimeoutError):
                async with asyncio.timeout(_CANCEL_GRACE_S):
                    await client.send(p.Cancel())
                    async for event in client.events():
                        if not isinstance(event, p.Progress):
                            break
            raise
    raise EngineDied("The engine ended without an answer.")

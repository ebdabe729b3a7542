"""The app's engine, as a state machine: what it is doing, and what it shall do next."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from enum import Enum, auto

import msgspec

from gelu_tui.client import EngineClient, EngineCommand, EngineDied
from gelu_tui.core import protocol as p
from gelu_tui.core.errors import GeluError
from gelu_tui.tui.engine_link.messages import EngineEvent, EngineLost


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


class Session:
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
        self.pending: p.Compare | None = None
        self._job = 0  # the id of the load or run that goes on, or went on last
        self._phase_since = self._heard_at = time.monotonic()

    @property
    def model(self) -> str:
        """The model that was asked for, as the user wrote it."""
        return self._load.model

    @property
    def silent_s(self) -> float:
        """Seconds since the engine last said anything, or since the phase began."""
        return time.monotonic() - max(self._heard_at, self._phase_since)

    @property
    def phase_s(self) -> float:
        """Seconds that the present phase has lasted."""
        return time.monotonic() - self._phase_since

    # --- the worker ---------------------------------------------------------------------------

    def renew(self) -> EngineClient:
        """Replace the engine: the old one, if any, is killed. `follow` then starts the new one."""
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
                self._job = load
            post(EngineEvent(client, hello))
            async for event in client.events():
                post(EngineEvent(client, event))
        except GeluError as error:
            post(EngineLost(client, error.info))
        finally:
            await client.close()

    def sleep(self) -> None:
        """Wait with the engine until something is run."""
        self._enter(Phase.ASLEEP)

    def choose_model(self, model: str) -> None:
        """The model that the next load takes."""
        self._load = msgspec.structs.replace(self._load, model=model)

    def kill(self) -> None:
        """End the engine at once, from anywhere."""
        if self.client is not None:
            self.client.kill()

    async def close(self) -> None:
        """End the engine. Never raises."""
        if self.client is not None:
            await self.client.close()

    # --- what the user asks -------------------------------------------------------------------

    async def run(self, command: p.Compare) -> bool:
        """Run `command` now or as soon as possible; False means that a new engine is needed."""
        self.pending = command
        match self.phase:
            case Phase.READY:
                await self._run_pending()
            case Phase.RUNNING:
                await self.stop()
            case Phase.NO_MODEL:
                await self.load()
            case Phase.LOST | Phase.ASLEEP:
                return False
            case _:
                pass
        return True

    def withdraw(self) -> bool:
        """Forget the run that waits; False if none does."""
        waited, self.pending = self.pending is not None, None
        return waited

    async def load(self) -> None:
        """Load the model again, in the engine that is there."""
        self._enter(Phase.LOADING)
        self._job = await self._send(self._load)

    async def ask(self, command: p.RenderPrompt | p.Replay) -> int:
        """Send what takes no time; return the id of the event that answers it."""
        return await self._send(command)

    async def stop(self) -> None:
        """Cancel the load or the run that is going on."""
        if self.phase in (Phase.LOADING, Phase.RUNNING):
            self._enter(Phase.STOPPING)
            await self._send(p.Cancel())

    # --- what the engine says -----------------------------------------------------------------

    async def apply(self, event: p.Event) -> bool:
        """Take one event in; return whether it is about the load or run that goes on."""
        self._heard_at = time.monotonic()
        if event.id not in (0, self._job):
            return False
        match event:
            case p.Hello():
                self._enter(Phase.LOADING)
            case p.Progress():
                self.progress = event
            case p.Loaded():
                self.loaded = event
                await self._become_ready()
            case p.Finished():
                await self._become_ready()
            case p.Failed() | p.Cancelled():
                if self.loaded is None:
                    self.pending = None
                    self._enter(Phase.NO_MODEL)
                else:
                    await self._become_ready()
            case p.Step() | p.Started():
                self.progress = None
            case _:
                pass
        return True

    def lose(self) -> None:
        """The engine is gone, or has to go; what it may still have said does not count."""
        self.kill()
        self.client = None
        self.pending = self.loaded = None
        self._enter(Phase.LOST)

    async def _become_ready(self) -> None:
        self._enter(Phase.READY)
        if self.pending is not None:
            await self._run_pending()

    async def _run_pending(self) -> None:
        command, self.pending = self.pending, None
        if command is not None:
            self._enter(Phase.RUNNING)
            self._job = await self._send(command)

    async def _send(self, command: p.Command) -> int:
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

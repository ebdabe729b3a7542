"""One engine that computes the prompts of a sweep, several at a time.

The engine is kept busy: about 1.75 times as many prompts as it runs at once are with it. If it
dies, another one takes its place. The prompts that it was computing then run in halves, and those
in halves again if they kill it, so that one that does is found: after two engines that died with
nothing but it, it is given up.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping

from gelu_tui.client import EngineClient, EngineCommand, EngineDied
from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import Comparison
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.runs.document import ComparisonDocument, document
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.sweep.events import EngineLost, EngineSaid, SweepEvent
from gelu_tui.sweep.prompts import Prompt
from gelu_tui.sweep.teacher_forced import Forced, TeacherForced
from gelu_tui.sweep.worker import Desk, Stopped

AHEAD = 1.75  # prompts with the engine, by those that it runs at once
MOST_ROWS = 64  # that an engine takes by itself
_DEATHS_OF_A_PROMPT = 2
_DEATHS_IN_A_ROW = 10  # without a prompt that is finished in between
_CANCEL_GRACE_S = 5.0

_LOST = (EngineDied, p.ProtocolError)


class _Task:
    """A prompt that is with the engine."""

    def __init__(self, prompt: Prompt) -> None:
        self.prompt = prompt
        self.comparison: Comparison | None = None  # once it has begun
        self.document: ComparisonDocument | None = None  # while it is read again
        self.forced: TeacherForced | None = None


class LocalWorker:
    """A worker with one engine of this machine (or of `engine_command`), for one sweep.

    `rows` limits its batches, 0: as many as fit. When `stop` is set, the engine is cancelled.
    `environment` is added to that of the engine's process.
    """

    def __init__(
        self,
        engine_command: EngineCommand,
        on: Callable[[SweepEvent], object],
        stop: asyncio.Event,
        rows: int = 0,
        *,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._client = EngineClient(engine_command, environment)
        self._on, self._stop, self._rows = on, stop, rows
        self._stopper: asyncio.Task[None] | None = None
        self._killed = False
        self._asked: tuple[str, RunSettings] | None = None
        self._loaded: p.Loaded | None = None
        self._tasks: dict[int, _Task] = {}  # by the id of the command that is not answered
        self._waiting: deque[Prompt] = deque()  # taken from the desk, and not with an engine
        self._suspects: deque[list[Prompt]] = deque()  # each group runs without other prompts
        self._in_question = False  # whether such a group is with the engine
        self._unexplained = 0  # engines that died with many prompts, none of them alone
        self._deaths: Counter[int] = Counter()  # of engines with nothing but this prompt
        self._given_up: list[tuple[Prompt, ErrorInfo]] = []  # unless it is all engines that die
        self._lost_in_a_row = 0
        self._at_once = 0  # prompts that the engine runs at once
        self._no_more = False
        self._counted_at = 0.0  # until here the time of work is told

    # --- the engine -------------------------------------------------------------------------------

    async def load(self, model: str, settings: RunSettings) -> p.Loaded:
        if self._stopper is None:
            self._stopper = asyncio.create_task(self._cancel_when_stopped())
        self._asked, self._at_once = (model, settings), 0
        for attempt in (1, 2):
            try:
                if not self._client.running:
                    await self._client.start()
                return await self._load()
            except _LOST as error:
                await self._client.close()
                self._raise_if_stopped()
                if attempt == 2 or self._client.hello is None:
                    raise
                self._on(EngineLost(error.info))
        raise AssertionError

    async def _load(self) -> p.Loaded:
        assert self._asked is not None
        model, settings = self._asked
        self._raise_if_stopped()
        async for event in self._client.ask(p.Load(model, settings.dtype)):
            self._on(EngineSaid(event))
            match event:
                case p.Loaded():
                    self._loaded = event
                    return event
                case p.Failed():
                    raise GeluError(event.error.kind, event.error.message, event.error.hint)
                case p.Cancelled():
                    raise Stopped
        raise p.ProtocolError("The engine ended a command without an answer.")

    def _raise_if_stopped(self) -> None:
        if self._stop.is_set():
            raise Stopped

    async def _cancel_when_stopped(self) -> None:
        await self._stop.wait()
        with contextlib.suppress(GeluError):
            await self._client.send(p.Cancel())
        await asyncio.sleep(_CANCEL_GRACE_S)
        self._client.kill()

    def kill(self) -> None:
        self._stop.set()
        self._client.kill()

    async def close(self) -> None:
        if self._stopper is not None:
            self._stopper.cancel()
        await self._client.close()

    # --- work -------------------------------------------------------------------------------------

    async def work(self, desk: Desk) -> None:
        self._no_more = False
        self._at_once = self._at_once or max(1, (self._rows or MOST_ROWS) // desk.streams)
        self._counted_at = time.monotonic()
        while True:
            try:
                await self._serve(desk)
                await self._record_given_up(desk)
                return
            except _LOST as error:
                await self._client.close()
                if self._stop.is_set():
                    return
                self._on(EngineLost(error.info))
                self._blame(desk, error)
                await self._start_again()
                self._counted_at = time.monotonic()

    async def _serve(self, desk: Desk) -> None:
        """Send prompts and take answers until no prompt is left."""
        await self._fill(desk)
        if not self._tasks:
            return
        async for event in self._client.events():
            if await self._take(desk, event) or desk.arrived():
                await self._fill(desk)
            if not self._tasks:
                return

    async def _fill(self, desk: Desk) -> None:
        """Send prompts, so that the engine never waits for one."""
        if self._stop.is_set():
            return
        if self._suspects or self._in_question:
            await self._question(desk)
            if self._in_question:
                return
        wanted = math.ceil(AHEAD * self._at_once)
        self._no_more = self._no_more and not desk.arrived()
        room = wanted - len(self._tasks) - len(self._waiting)
        # Not one by one: each time all processes wait for a transaction.
        if not self._no_more and room >= max(1, wanted // 4):
            taken = await desk.take(room)
            self._no_more = len(taken) < room
            self._waiting += taken
        while self._waiting and len(self._tasks) < wanted:
            await self._send(desk, self._waiting.popleft())

    async def _question(self, desk: Desk) -> None:
        """Send a group of suspects, once no other prompt is with the engine."""
        if self._tasks:
            return
        self._in_question = bool(self._suspects)
        if self._suspects:
            group = self._suspects.popleft()
            self._waiting.extendleft(reversed(group))
            for _ in group:
                await self._send(desk, self._waiting.popleft())

    async def _send(self, desk: Desk, prompt: Prompt) -> None:
        settings = desk.settings(prompt)
        command = p.Compare(
            "" if prompt.only_messages else prompt.prompt,
            settings,
            messages=prompt.messages,
            choices=prompt.choices,
            rows=self._rows if settings.schedule == "lockstep" else None,
        )
        self._waiting.appendleft(prompt)  # where it is if the engine is gone
        number = await self._client.send(command)
        self._tasks[number] = _Task(self._waiting.popleft())

    async def _take(self, desk: Desk, event: p.Event) -> bool:
        """Take an event of the engine; return whether a prompt has ended."""
        if isinstance(event, p.BatchSize):
            self._at_once = max(1, event.prompts)
            self._on(EngineSaid(event))
            return False
        task = self._tasks.get(event.id)
        if task is None:
            self._on(EngineSaid(event))
            return False
        if task.document is not None:
            return await self._take_score(desk, event, task)
        if isinstance(event, p.Started):
            task.comparison = Comparison.begin(event)
            task.comparison.check()
            desk.started(task.prompt, task.comparison)
        elif task.comparison is not None:
            task.comparison.apply(event)
        if not event.last:
            return False
        del self._tasks[event.id]
        match event:
            case p.Finished(status="completed") if task.comparison is not None:
                await self._finished(desk, task, task.comparison)
            case p.Failed(error=error) | p.Finished(status="failed", error=ErrorInfo() as error):
                await desk.failed(task.prompt, error)
            case p.Finished(status="cancelled") | p.Cancelled():
                self._waiting.append(task.prompt)
            case _:
                raise p.ProtocolError("The engine ended a command without an answer.")
        return True

    async def _finished(self, desk: Desk, task: _Task, comparison: Comparison) -> None:
        comparison.check()
        assert self._loaded is not None
        made = document(comparison, self._loaded)
        if not (desk.full_kl or desk.yardsticks):
            await self._save(desk, task.prompt, made, Forced())
            return
        task.forced = TeacherForced(made, desk.yardsticks, full_kl=desk.full_kl)
        task.document = made
        self._tasks[await self._client.send(task.forced.command)] = task

    async def _take_score(self, desk: Desk, event: p.Event, task: _Task) -> bool:
        assert task.document is not None and task.forced is not None
        task.forced.apply(event)
        if not event.last:
            return False
        del self._tasks[event.id]
        match event:
            case p.ScoreFinished(status="completed"):
                await self._save(desk, task.prompt, task.document, task.forced.result())
            case p.Failed(error=error) | p.ScoreFinished(error=ErrorInfo() as error):
                await desk.failed(task.prompt, error)
            case _:
                self._waiting.append(task.prompt)
        return True

    async def _save(
        self, desk: Desk, prompt: Prompt, made: ComparisonDocument, forced: Forced
    ) -> None:
        self._lost_in_a_row = 0
        await self._record_given_up(desk)
        now = time.monotonic()
        seconds, self._counted_at = now - self._counted_at, now
        await desk.finished(prompt, made, forced, seconds)

    async def _record_given_up(self, desk: Desk) -> None:
        while self._given_up:
            await desk.failed(*self._given_up.pop())

    # --- a lost engine ----------------------------------------------------------------------------

    def _blame(self, desk: Desk, error: GeluError) -> None:
        """Decide which prompts run without others, and which one is given up."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        begun = [task.prompt for task in tasks if task.comparison is not None]
        self._waiting.extendleft(task.prompt for task in reversed(tasks) if task.comparison is None)
        if len(begun) > 1:
            half = len(begun) // 2
            self._suspects.extendleft((begun[half:], begun[:half]))
            if not self._in_question:
                self._unexplained += 1
            if self._unexplained > 1:  # perhaps all of them together are too much for the memory
                self._rows = max(1, (self._rows or self._at_once * desk.streams) // 2)
                self._at_once = max(1, self._rows // desk.streams)
        elif begun:
            (prompt,) = begun
            self._deaths[prompt.number] += 1
            if self._deaths[prompt.number] < _DEATHS_OF_A_PROMPT:
                self._suspects.appendleft([prompt])
            else:
                message = f"The engine died twice on this prompt: {error.info.message}"
                self._given_up.append((prompt, ErrorInfo("engine_died", message)))
                self._unexplained = 0
        self._in_question = False
        self._lost_in_a_row += 1
        if self._lost_in_a_row >= _DEATHS_IN_A_ROW:
            raise error

    async def _start_again(self) -> None:
        while True:
            try:
                await self._client.start()
                await self._load()
                return
            except _LOST as error:
                await self._client.close()
                self._raise_if_stopped()
                self._lost_in_a_row += 1
                if self._lost_in_a_row >= _DEATHS_IN_A_ROW:
                    raise
                self._on(EngineLost(error.info))

"""Computes a sweep's prompts on the workers of a Dask cluster.

A group of prompts is sent to one worker, by its address: the owner knows what is where, refuses
machines that do not fit, and gives each as many prompts as its engine runs. Dask brings the tasks
there, brings results back, and tells who is there.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence

from gelu_tui.client import EngineCommand
from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.safe_text import visible_line
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.sweep import events as e
from gelu_tui.sweep.cluster.choice import Cluster
from gelu_tui.sweep.cluster.connection import Connection
from gelu_tui.sweep.cluster.lane import Lane, Sent
from gelu_tui.sweep.cluster.members import Members, of_a_task
from gelu_tui.sweep.cluster.messages import Group, GroupResult, Job, Setup
from gelu_tui.sweep.local_worker import MOST_ROWS
from gelu_tui.sweep.prompts import Prompt
from gelu_tui.sweep.worker import Desk, NoWorkers, Stopped

_NO_WORKER_S = 30.0
_CANCEL_GRACE_S = 8.0
_LOST_TOGETHER = 2  # workers, with a group that a prompt was in; then it runs alone

_Answer = tuple[Lane, Sent, GroupResult | Exception]


class ClusterWorker:
    """A worker (`sweep/worker.py`) that is many.

    A worker that is lost costs what it was computing, which runs elsewhere; one that joins is used.
    A prompt with which two workers were lost runs alone, and is given up when a third one is.
    """

    def __init__(
        self,
        choice: Cluster,
        engine_command: EngineCommand,
        on: Callable[[e.SweepEvent], object],
        stop: asyncio.Event,
        rows: int = 0,
    ) -> None:
        assert not callable(engine_command)
        self._command: str | tuple[str, ...] | None
        if engine_command is None or isinstance(engine_command, str):
            self._command = engine_command
        else:
            self._command = tuple(engine_command)
        self._choice, self._on, self._stop, self._rows = choice, on, stop, rows
        self._connection = Connection(choice)
        self._members = Members(
            self._connection,
            choice,
            on,
            wake=self._wake,
            lost=self._take_back,
            taken_back=lambda prompts: self._again.extend(prompts),
        )
        self._answers: asyncio.Queue[_Answer | None] = asyncio.Queue()
        self._waking: asyncio.Task[None] | None = None
        self._killed = False
        self._again: deque[Prompt] = deque()
        self._suspects: deque[Prompt] = deque()
        self._losses: Counter[int] = Counter()  # workers, by the number of a prompt they had
        self._given_up: list[tuple[Prompt, ErrorInfo]] = []
        self._no_more = False

    # --- the cluster ------------------------------------------------------------------------------

    async def load(self, model: str, settings: RunSettings) -> p.Loaded:
        if self._connection.client is None:
            await self._connect()
        self._losses = Counter()
        own = _run_settings(settings)
        await self._members.begin(Setup("", model, own, self._rows, self._command, 1, ""))
        began = time.monotonic()
        while (first := self._members.first) is None:
            self._check()
            if not self._members.lanes and time.monotonic() - began > _NO_WORKER_S:
                message = f"The Dask scheduler {visible_line(self._connection.address)} has no"
                hint = "Start one on each machine: dask worker ADDRESS --nthreads 1."
                raise NoWorkers("no_workers", f"{message} workers.", hint)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._answers.get(), 1.0)
        return first

    async def _connect(self) -> None:
        self._on(e.ClusterStarts(self._choice.beginning))
        opening = asyncio.create_task(self._connection.open())
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({opening, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not opening.done():
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
            raise Stopped
        opening.result()
        self._members.watch()
        self._waking = asyncio.create_task(self._wake_when_stopped())

    def _check(self) -> None:
        """Raise what ends the work."""
        if self._stop.is_set():
            raise Stopped
        self._members.check()

    async def _wake_when_stopped(self) -> None:
        await self._stop.wait()
        self._wake()

    def _wake(self) -> None:
        self._answers.put_nowait(None)

    def _take_back(self, lane: Lane, why: str) -> int:
        """Decide where the prompts of a lost worker run; return how many they are."""
        was_alone = lane.is_alone
        prompts = lane.take_back()
        for prompt in prompts:
            self._losses[prompt.number] += 1
            if was_alone:
                message = f"Workers were lost with this prompt three times, at last {lane.name}:"
                error = ErrorInfo("worker_lost", f"{message} {why}.")
                self._given_up.append((prompt, error))
            elif self._losses[prompt.number] >= _LOST_TOGETHER:
                self._suspects.append(prompt)
            else:
                self._again.append(prompt)
        return len(prompts)

    # --- work -------------------------------------------------------------------------------------

    async def work(self, desk: Desk) -> None:
        self._no_more = False
        while True:
            try:
                self._check()
            except Stopped:
                await self._wind_down(desk)
                return
            while self._given_up:
                await desk.failed(*self._given_up.pop())
            for lane in self._members.ready:
                await self._fill(lane, desk)
            is_busy = any(lane.groups for lane in self._members.lanes.values())
            if not (is_busy or self._again or self._suspects or self._given_up) and self._no_more:
                return
            if (answer := await self._answers.get()) is not None:
                await self._take(desk, *answer)

    async def _fill(self, lane: Lane, desk: Desk) -> None:
        """Send prompts to a worker, so that its engine never waits for one."""
        lane.at_once = lane.at_once or max(1, (self._rows or MOST_ROWS) // desk.streams)
        if self._suspects or lane.is_alone:
            if self._suspects and not lane.groups:
                self._send(lane, desk, [self._suspects.popleft()], alone=True)
            return
        while lane.ready:
            lanes = self._members.usable
            left = desk.left + len(self._again) + sum(each.outstanding for each in lanes)
            share = left / max(1, len(lanes), self._choice.expected)
            room = lane.wanted(share) - lane.outstanding
            if room <= 0 or (lane.groups and room < lane.group_size < desk.left):
                return
            prompts = await self._next(desk, min(room, lane.group_size))
            if not prompts:
                return
            if not lane.ready or lane not in self._members.lanes.values():  # lost meanwhile
                self._again.extend(prompts)
                return
            self._send(lane, desk, prompts)

    async def _next(self, desk: Desk, count: int) -> list[Prompt]:
        prompts = [self._again.popleft() for _ in range(min(count, len(self._again)))]
        if not prompts and not self._no_more:
            prompts = await desk.take(count)
            self._no_more = len(prompts) < count
        return prompts

    def _send(
        self, lane: Lane, desk: Desk, prompts: Sequence[Prompt], *, alone: bool = False
    ) -> None:
        jobs = tuple(Job(prompt, desk.settings(prompt)) for prompt in prompts)
        setup = self._members.setup_of(lane)
        group = Group(setup, jobs, desk.full_kl, desk.yardsticks, desk.streams)
        sent = lane.send(prompts, alone=alone)

        async def wait() -> None:
            try:
                result: GroupResult | Exception = await self._members.ask(lane, group)
            except Exception as error:
                result = error
            self._answers.put_nowait((lane, sent, result))

        sent.task = asyncio.create_task(wait())
        self._members.tell(lane)

    async def _take(
        self, desk: Desk, lane: Lane, sent: Sent, result: GroupResult | Exception
    ) -> None:
        if lane.groups.pop(sent.id, None) is None:
            return  # it was taken back, and runs elsewhere
        left = dict(sent.prompts)
        if isinstance(result, GroupResult):
            lane.at_once = result.at_once or lane.at_once
            for computed in result.computed:
                if (prompt := left.pop(computed.number, None)) is not None:
                    lane.done += 1
                    await desk.finished(
                        prompt, computed.document, computed.forced, computed.seconds
                    )
            for failed in result.failed:
                if (prompt := left.pop(failed.number, None)) is not None:
                    await desk.failed(prompt, failed.error)
        (self._suspects if lane.is_alone else self._again).extend(left.values())
        lane.is_alone = False
        if isinstance(result, GroupResult):
            if result.error is not None:
                self._members.refuse(lane, result.error)
            self._members.tell(lane)
        elif not _is_cancelled(result):  # by a lost connection, which is seen and told elsewhere
            self._members.refuse(lane, of_a_task(result, lane))

    async def _wind_down(self, desk: Desk) -> None:
        """Cancel what runs, and take what is finished."""
        ends = time.monotonic() + _CANCEL_GRACE_S
        await self._members.end_stations()
        while any(lane.groups for lane in self._members.lanes.values()) and not self._killed:
            try:
                left = ends - time.monotonic()
                answer = await asyncio.wait_for(self._answers.get(), max(0.0, left))
            except TimeoutError:
                return
            if answer is not None:
                await self._take(desk, *answer)

    # --- the end ----------------------------------------------------------------------------------

    def kill(self) -> None:
        self._killed = True
        self._stop.set()
        self._connection.kill()
        self._wake()

    async def close(self) -> None:
        if self._waking is not None:
            self._waking.cancel()
        self._members.close()
        if not self._killed:
            await self._members.end_stations()
        await self._connection.close()


def _run_settings(settings: RunSettings) -> RunSettings:
    """The settings of a run out of those of a sweep."""
    names = RunSettings.__struct_fields__
    return RunSettings(**{name: getattr(settings, name) for name in names})


def _is_cancelled(error: Exception) -> bool:
    from distributed.client import FutureCancelledError
    from distributed.scheduler import KilledWorker

    return isinstance(error, FutureCancelledError | KilledWorker | OSError)

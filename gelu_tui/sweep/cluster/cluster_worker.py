"""Computes a sweep's prompts on the workers of a Dask cluster.

A group of prompts is sent to one worker, by its address: the owner knows what is where, refuses
machines that do not fit, and gives each as many prompts as its engine runs. Dask brings the tasks
there, brings results back, and tells who is there.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from gelu_tui.client import EngineCommand
from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.safe_text import visible_line
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.sweep import events as e
from gelu_tui.sweep.cluster.choice import Cluster
from gelu_tui.sweep.cluster.connection import Connection
from gelu_tui.sweep.cluster.lane import Lane, Sent, difference
from gelu_tui.sweep.cluster.messages import (
    Doing,
    Group,
    GroupResult,
    Job,
    OtherVersion,
    Setup,
    own_version,
    pack,
    unpack,
)
from gelu_tui.sweep.cluster.station import end_station, run_group
from gelu_tui.sweep.local_worker import MOST_ROWS
from gelu_tui.sweep.prompts import Prompt
from gelu_tui.sweep.worker import Desk, Stopped

_LOOK_S = 1.0
_SILENCE_S = 60.0  # of a machine that sleeps, or is unplugged
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
        self._lanes: dict[str, Lane] = {}
        self._answers: asyncio.Queue[_Answer | None] = asyncio.Queue()
        self._background: list[asyncio.Task[None]] = []
        self._failure: GeluError | None = None
        self._killed = False
        self._setup: Setup | None = None
        self._first: p.Loaded | None = None  # what all workers are compared with
        self._again: deque[Prompt] = deque()
        self._suspects: deque[Prompt] = deque()
        self._losses: Counter[int] = Counter()  # workers, by the number of a prompt they had
        self._given_up: list[tuple[Prompt, ErrorInfo]] = []
        self._no_more = False

    # --- the cluster ------------------------------------------------------------------------------

    async def load(self, model: str, settings: RunSettings) -> p.Loaded:
        if self._connection.client is None:
            await self._connect()
        else:
            await self._end_stations()
        session = secrets.token_hex(8)
        self._first, self._losses = None, Counter()
        self._setup = Setup(
            session, model, _run_settings(settings), self._rows, self._command, 1, self._topic
        )
        for lane in self._lanes.values():
            lane.reset()
            self._open(lane)
        return await self._first_loaded()

    async def _first_loaded(self) -> p.Loaded:
        """Wait for the first worker that has the model. Raises `GeluError`, and `Stopped`."""
        began = time.monotonic()
        while self._first is None:
            self._check()
            if not self._lanes and time.monotonic() - began > _NO_WORKER_S:
                message = f"The Dask scheduler {visible_line(self._connection.address)} has no"
                hint = "Start one on each machine: dask worker ADDRESS --nthreads 1."
                raise GeluError("no_workers", f"{message} workers.", hint)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._answers.get(), 1.0)
        return self._first

    async def _connect(self) -> None:
        self._topic = f"gelu-tui-{secrets.token_hex(8)}"
        opening = asyncio.create_task(self._connection.open())
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({opening, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if not opening.done():
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
            raise Stopped
        opening.result()
        self._connection.client.subscribe_topic(self._topic, self._told)
        self._background += [
            asyncio.create_task(self._watch()),
            asyncio.create_task(self._wake_when_stopped()),
        ]

    def _check(self) -> None:
        """Raise what ends the work."""
        if self._stop.is_set():
            raise Stopped
        if self._failure is not None:
            raise self._failure
        lanes = list(self._lanes.values())
        if len(lanes) >= max(1, self._choice.expected) and all(lane.refused for lane in lanes):
            error = lanes[0].refused
            assert error is not None
            raise GeluError(error.kind, error.message, error.hint)

    async def _wake_when_stopped(self) -> None:
        await self._stop.wait()
        self._wake()

    def _wake(self) -> None:
        self._answers.put_nowait(None)

    async def _watch(self) -> None:
        """See who joins and who is lost."""
        try:
            while True:
                self._compare(await self._connection.workers())
                await asyncio.sleep(_LOOK_S)
        except GeluError as error:
            self._failure = error
        except Exception as error:  # of Dask's own: the sweep must end, not hang
            message = f"Dask failed: {visible_line(str(error) or type(error).__name__)[:200]}."
            self._failure = GeluError("cluster_lost", message, "The same command goes on.")
        self._wake()

    def _compare(self, workers: dict[str, dict[str, Any]]) -> None:
        now = time.monotonic()
        # A worker that was started again may have the same address, and has another folder.
        there = {f"{a} {about.get('local_directory')}": a for a, about in workers.items()}
        for key, lane in list(self._lanes.items()):
            about = workers.get(lane.address, {})
            if about.get("last_seen") != lane.seen[0]:
                lane.seen = (about.get("last_seen"), now)
            if key not in there:
                self._lose(key, "it ended, or its connection broke")
            elif now - lane.seen[1] > _SILENCE_S:
                self._lose(key, f"nothing was heard of it for {_SILENCE_S:g} seconds")
        for key, address in there.items():
            about = workers[address]
            is_silent = time.time() - float(about.get("last_seen") or 0) > _SILENCE_S
            if key not in self._lanes and not is_silent:
                host = str(about.get("host", ""))
                lane = self._lanes[key] = Lane(address, self._name(about), host)
                self._open(lane)

    def _name(self, about: dict[str, Any]) -> str:
        """What people call a worker."""
        name, host = visible_line(str(about.get("name", ""))), str(about.get("host", ""))
        if self._choice.workers:
            return name
        name = host if "://" in name or name.isdecimal() else name
        taken = {lane.name for lane in self._lanes.values()}
        others = (f"{name} ({n})" for n in range(2, len(taken) + 3))
        return next(each for each in (name, *others) if each not in taken)

    def _lose(self, key: str, why: str) -> None:
        lane = self._lanes.pop(key)
        if lane.opening is not None:
            lane.opening.cancel()
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
        if not self._stop.is_set():
            self._on(e.WorkerLost(lane.name, why, len(prompts)))
        self._wake()

    def _open(self, lane: Lane) -> None:
        if self._setup is not None:
            lane.opening = asyncio.create_task(self._load_on(lane))

    async def _load_on(self, lane: Lane) -> None:
        """Have the model loaded there, and see whether its results can stand beside others'."""
        lane.doing = "loads the model"
        self._tell(lane)
        try:
            result = await self._ask(lane, Group(self._setup_of(lane)))
        except Exception as error:
            self._refuse(lane, _of_a_task(error, lane))
            return
        if result.loaded is None:
            self._refuse(lane, result.error or ErrorInfo("engine_died", "Its engine has ended."))
            return
        if self._first is None:
            self._first = result.loaded
        clause, hint = difference(result.loaded, self._first)
        if clause:
            self._refuse(lane, ErrorInfo("other_machine", f"{lane.name} {clause}.", hint))
            return
        lane.loaded, lane.doing = result.loaded, "waits for prompts"
        self._tell(lane)
        self._wake()

    def _tell(self, lane: Lane) -> None:
        if lane in self._lanes.values():  # it may have been lost meanwhile
            self._on(e.WorkerTold(lane.state))

    def _setup_of(self, lane: Lane) -> Setup:
        assert self._setup is not None
        there = sum(other.host == lane.host for other in self._lanes.values())
        sharing = max(there, self._choice.workers)
        return msgspec.structs.replace(self._setup, sharing=sharing)

    def _refuse(self, lane: Lane, error: ErrorInfo) -> None:
        lane.refused, lane.doing = error, "is not used"
        self._again.extend(lane.take_back())
        if any(other.refused is None for other in self._lanes.values()):  # else it ends the sweep
            self._on(e.WorkerRefused(lane.name, error))
        self._wake()

    async def _ask(self, lane: Lane, group: Group) -> GroupResult:
        key = f"gelu-tui-{secrets.token_hex(8)}"
        future = self._connection.client.submit(
            run_group, pack(group), key=key, pure=False, workers=[lane.address], retries=0
        )
        try:
            return unpack(await future, GroupResult)
        finally:
            future.release()

    def _told(self, event: tuple[float, Any]) -> None:
        """Take what a worker tells of itself."""
        with contextlib.suppress(GeluError):
            doing = unpack(event[1], Doing)
            for lane in self._lanes.values():
                if lane.address == doing.worker and lane.refused is None:
                    lane.doing = visible_line(doing.clause)
                    self._tell(lane)
                    if doing.lost is not None:
                        self._on(e.EngineLost(doing.lost, lane.name))

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
            for lane in [lane for lane in self._lanes.values() if lane.ready]:
                await self._fill(lane, desk)
            is_busy = any(lane.groups for lane in self._lanes.values())
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
            lanes = [each for each in self._lanes.values() if each.refused is None]
            left = desk.left + len(self._again) + sum(each.outstanding for each in lanes)
            share = left / max(1, len(lanes), self._choice.expected)
            room = lane.wanted(share) - lane.outstanding
            if room <= 0 or (lane.groups and room < lane.group_size < desk.left):
                return
            prompts = await self._next(desk, min(room, lane.group_size))
            if not prompts:
                return
            if not lane.ready or lane not in self._lanes.values():  # lost meanwhile
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
        group = Group(self._setup_of(lane), jobs, desk.full_kl, desk.streams)
        sent = lane.send(prompts, alone=alone)

        async def wait() -> None:
            try:
                result: GroupResult | Exception = await self._ask(lane, group)
            except Exception as error:
                result = error
            self._answers.put_nowait((lane, sent, result))

        sent.task = asyncio.create_task(wait())
        self._tell(lane)

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
                        prompt, computed.document, computed.full_kl, computed.seconds
                    )
            for failed in result.failed:
                if (prompt := left.pop(failed.number, None)) is not None:
                    await desk.failed(prompt, failed.error)
        (self._suspects if lane.is_alone else self._again).extend(left.values())
        lane.is_alone = False
        if isinstance(result, GroupResult):
            if result.error is not None:
                self._refuse(lane, result.error)
            self._tell(lane)
        elif not _is_cancelled(result):  # by a lost connection, which is seen and told elsewhere
            self._refuse(lane, _of_a_task(result, lane))

    async def _wind_down(self, desk: Desk) -> None:
        """Cancel what runs, and take what is finished."""
        ends = time.monotonic() + _CANCEL_GRACE_S
        await self._end_stations()
        while any(lane.groups for lane in self._lanes.values()) and not self._killed:
            try:
                left = ends - time.monotonic()
                answer = await asyncio.wait_for(self._answers.get(), max(0.0, left))
            except TimeoutError:
                return
            if answer is not None:
                await self._take(desk, *answer)

    # --- the end ----------------------------------------------------------------------------------

    async def _end_stations(self) -> None:
        if self._setup is None or not self._connection.is_open or not self._lanes:
            return
        addresses = [lane.address for lane in self._lanes.values()]
        session = self._setup.session
        with contextlib.suppress(Exception):
            ended = self._connection.client.run(
                end_station, session, workers=addresses, on_error="ignore"
            )
            await asyncio.wait_for(ended, 3.0)

    def kill(self) -> None:
        self._killed = True
        self._stop.set()
        self._connection.kill()
        self._wake()

    async def close(self) -> None:
        for task in self._background:
            task.cancel()
        for lane in self._lanes.values():
            if lane.opening is not None:
                lane.opening.cancel()
            lane.take_back()
        if not self._killed:
            await self._end_stations()
        await self._connection.close()


def _run_settings(settings: RunSettings) -> RunSettings:
    """The settings of a run out of those of a sweep."""
    names = RunSettings.__struct_fields__
    return RunSettings(**{name: getattr(settings, name) for name in names})


def _is_cancelled(error: Exception) -> bool:
    from distributed.client import FutureCancelledError
    from distributed.scheduler import KilledWorker

    return isinstance(error, FutureCancelledError | KilledWorker | OSError)


def _of_a_task(error: Exception, lane: Lane) -> ErrorInfo:
    """Why a worker could not run our task."""
    if isinstance(error, OtherVersion):
        message = f"{lane.name} has gelu-tui {visible_line(error.version)}, this is {own_version()}"
        return ErrorInfo("other_machine", f"{message}.", "Install the same gelu-tui everywhere.")
    if isinstance(error, ImportError):
        message = f"{lane.name} cannot import gelu-tui: {visible_line(str(error))[:200]}."
        return ErrorInfo("other_machine", message, "Install gelu-tui[cluster] there.")
    if isinstance(error, GeluError):
        return error.info
    words = visible_line(f"{type(error).__name__}: {error}")[:200]
    return ErrorInfo("worker_failed", f"{lane.name} failed: {words}.", "See the log of the worker.")

"""On a Dask worker: one engine that outlives the tasks, and the task that gives it prompts.

A task leaves Dask's pool of threads at once and waits for its prompts, so that several small groups
are with the engine, however many threads the worker has. The engine ends with the sweep, with the
worker, and when nothing came for a while.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import Comparison
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.reports.progress import progress_sentence, transfer_sentence
from gelu_tui.core.runs.document import ComparisonDocument
from gelu_tui.core.settings.run_settings import RunSettings
from gelu_tui.core.settings.yardsticks import YardstickName
from gelu_tui.sweep import events as e
from gelu_tui.sweep.cluster.messages import (
    Computed,
    Doing,
    Group,
    GroupResult,
    Job,
    NotRun,
    OtherVersion,
    Setup,
    pack,
    unpack,
)
from gelu_tui.sweep.encodable import encodable
from gelu_tui.sweep.local_worker import LocalWorker
from gelu_tui.sweep.prompts import Prompt
from gelu_tui.sweep.teacher_forced import Forced
from gelu_tui.sweep.worker import Stopped

_IDLE_S = 120.0
_SAY_S = 1.0
_THREADS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")

_lock = threading.Lock()
_stations: dict[tuple[str, str], _Station] = {}  # by session and address: a process may have many

Say = Callable[[str, ErrorInfo | None], object]


def run_group(payload: bytes) -> bytes:
    """Run a group of prompts: the task of Dask's. Returns a `GroupResult`."""
    from distributed import get_worker, secede

    worker = get_worker()
    secede()
    try:
        group = unpack(payload, Group)
    except OtherVersion:
        return pack(GroupResult(None))  # whose version says it
    topic, address = group.setup.topic, worker.address

    def say(clause: str, lost: ErrorInfo | None) -> None:
        worker.log_event(topic, pack(Doing(address, clause, lost)))

    key = group.setup.session, address
    with _lock:
        station = _stations.get(key)
        if station is None:
            station = _Station(key, group.setup, say, has_nanny=worker.nanny is not None)
            _stations[key] = station
        result = station.submit(group)
    return pack(result.result())


def end_station(session: str, dask_worker: Any = None) -> None:
    """End the engine of a session; what it computes is cancelled. Dask calls it on each worker."""
    with _lock:
        station = _stations.get((session, dask_worker.address))
    if station is not None:
        station.stop()


class _Running:
    """A group whose prompts are with the engine."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.left = {job.prompt.number for job in group.jobs}
        self.computed: list[Computed] = []
        self.failed: list[NotRun] = []
        self.result: Future[GroupResult] = Future()


class _Station:
    """One engine in a thread of its own."""

    def __init__(self, key: tuple[str, str], setup: Setup, say: Say, *, has_nanny: bool) -> None:
        self._key, self._setup, self._say = key, setup, say
        self._has_nanny = has_nanny
        self._loop = asyncio.new_event_loop()
        self._news, self._stop = asyncio.Event(), asyncio.Event()
        self._desk = _Desk(self._tell_running)
        self._loaded: p.Loaded | None = None
        self._at_once = 0
        self._clause = ""
        self._timer: asyncio.TimerHandle | None = None
        threading.Thread(target=self._live, name="gelu-tui station", daemon=True).start()

    def submit(self, group: Group) -> Future[GroupResult]:
        """Take a group; called with the lock, so before the end of the station."""
        running = _Running(group)
        self._desk.add(running)
        self._loop.call_soon_threadsafe(self._news.set)
        return running.result

    def stop(self) -> None:
        """Cancel what runs, and end."""

        def end() -> None:
            self._stop.set()
            self._news.set()

        with _lock:
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(end)

    def _live(self) -> None:
        error: ErrorInfo | None = None
        try:
            self._loop.run_until_complete(self._serve())
        except GeluError as failure:
            error = failure.info
        except Stopped:
            pass
        except BaseException as failure:  # a task that waits for ever would say nothing
            error = ErrorInfo("internal", f"The worker failed: {failure!r}.")
        with _lock:
            _stations.pop(self._key, None)
            self._loop.close()
        for running in self._desk.all():
            self._answer(running, error)

    async def _serve(self) -> None:
        setup = self._setup
        worker = LocalWorker(
            setup.engine_command, self._on, self._stop, setup.rows, environment=self._environment()
        )
        try:
            self._tell("starts its engine")
            self._loaded = await worker.load(setup.model, setup.settings)
            self._tell("waits for prompts")
            while await self._has_work():
                await worker.work(self._desk)
                self._answer_ended()
        finally:
            await worker.close()

    async def _has_work(self) -> bool:
        """Wait for prompts; False where it is to end."""
        while not self._stop.is_set():
            self._news.clear()
            self._answer_ended()
            if self._desk.arrived():
                return True
            try:
                await asyncio.wait_for(self._news.wait(), _IDLE_S)
            except TimeoutError:
                with _lock:
                    if not self._desk.all():
                        return False
        return False

    def _answer_ended(self) -> None:
        for running in self._desk.ended():
            self._answer(running, None)

    def _answer(self, running: _Running, error: ErrorInfo | None) -> None:
        result = GroupResult(
            self._loaded, self._at_once, tuple(running.computed), tuple(running.failed), error
        )
        running.result.set_result(result)

    def _environment(self) -> dict[str, str]:
        """The cores of the machine are divided among its workers.

        Dask's nanny gives a worker one thread, which is meant for NumPy in its tasks.
        """
        if sys.platform == "darwin" or (self._setup.sharing == 1 and not self._has_nanny):
            return {}
        threads = str(max(1, _cores() // max(1, self._setup.sharing)))
        return {name: threads for name in _THREADS if self._has_nanny or name not in os.environ}

    # --- what it tells ----------------------------------------------------------------------------

    def _on(self, event: e.SweepEvent) -> None:
        match event:
            case e.EngineSaid(event=p.BatchSize(prompts=prompts)):
                self._at_once = prompts
            case e.EngineSaid(event=p.Progress() as said):
                is_transfer = said.unit == "bytes"
                self._tell(transfer_sentence(said) if is_transfer else progress_sentence(said))
            case e.EngineLost():
                self._tell("starts another engine", event.error)

    def _tell_running(self) -> None:
        self._answer_ended()
        count = self._desk.begun
        self._tell(f"runs {count} prompt{'s' * (count != 1)}" if count else "waits for prompts")

    def _tell(self, clause: str, lost: ErrorInfo | None = None) -> None:
        """Say what it does, once a second at most, but in the end the last of it."""
        self._clause = clause
        if lost is not None:
            self._say(clause, lost)
        elif self._timer is None:
            self._say(clause, None)
            self._timer = self._loop.call_later(_SAY_S, self._tell_last, clause)

    def _tell_last(self, told: str) -> None:
        self._timer = None
        if self._clause != told:
            self._tell(self._clause)


class _Desk:
    """The prompts of all groups that are here; a `Desk` that gets more."""

    full_kl = False
    yardsticks: tuple[YardstickName, ...] = ()
    streams = 1

    def __init__(self, changed: Callable[[], object]) -> None:
        self._changed = changed
        self._waiting: deque[Job] = deque()
        self._running: list[_Running] = []
        self._settings: dict[int, RunSettings] = {}
        self._begun: set[int] = set()

    @property
    def begun(self) -> int:
        """The number of prompts that the engine computes now."""
        return len(self._begun)

    @property
    def left(self) -> int:
        return len(self._waiting)

    def add(self, running: _Running) -> None:
        """Take a group, from any thread."""
        group = running.group
        if group.jobs:
            self.full_kl, self.streams = group.full_kl, group.streams
            self.yardsticks = group.yardsticks
        for job in group.jobs:
            if job.prompt.number not in self._settings:
                self._settings[job.prompt.number] = job.settings
                self._waiting.append(job)
        self._running.append(running)

    def all(self) -> list[_Running]:
        """The groups that are not answered."""
        return list(self._running)

    def ended(self) -> list[_Running]:
        """Remove and return the groups whose prompts have all ended."""
        found = [running for running in self.all() if not running.left]
        for running in found:
            self._running.remove(running)
        return found

    def arrived(self) -> bool:
        return bool(self._waiting)

    def settings(self, prompt: Prompt) -> RunSettings:
        return self._settings[prompt.number]

    async def take(self, count: int) -> list[Prompt]:
        taken: list[Prompt] = []
        while self._waiting and len(taken) < count:
            taken.append(self._waiting.popleft().prompt)
        return taken

    def started(self, prompt: Prompt, comparison: Comparison) -> None:
        self._begun.add(prompt.number)
        self._changed()

    async def finished(
        self,
        prompt: Prompt,
        document: ComparisonDocument,
        forced: Forced,
        seconds: float,
    ) -> None:
        computed = Computed(prompt.number, encodable(document), forced, seconds)
        self._end(prompt, lambda running: running.computed.append(computed))

    async def failed(self, prompt: Prompt, error: ErrorInfo) -> None:
        not_run = NotRun(prompt.number, error)
        self._end(prompt, lambda running: running.failed.append(not_run))

    def _end(self, prompt: Prompt, note: Callable[[_Running], object]) -> None:
        self._begun.discard(prompt.number)
        self._settings.pop(prompt.number, None)
        for running in self.all():
            if prompt.number in running.left:
                note(running)
                running.left.discard(prompt.number)
        self._changed()


def _cores() -> int:
    """The cores that this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)  # Linux
    return len(allowed(0)) if allowed else os.cpu_count() or 1

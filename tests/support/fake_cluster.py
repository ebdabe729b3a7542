"""A stand-in for a Dask cluster: who is there is what a test says; tasks run in this process."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Awaitable, Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import distributed
import pytest

from gelu_tui.sweep.cluster import cluster_worker, members, station
from gelu_tui.sweep.cluster.messages import Group, unpack
from gelu_tui.sweep.local_worker import LocalWorker
from gelu_tui.sweep.worker import NoWorkers
from tests.support.sweep_engine import SweepEngines


class _Future:
    """Of Dask's what is used."""

    def __init__(self, result: Awaitable[Any]) -> None:
        self._result = result

    def __await__(self) -> Generator[Any, None, Any]:
        return self._result.__await__()

    def release(self) -> None: ...


class FakeCluster:
    """Workers with engines in memory. `made` may change what a worker answers.

    A group with a prompt of `loses` ends its worker when it arrives, and another one joins.
    """

    def __init__(self, patch: pytest.MonkeyPatch, count: int, **engines: Any) -> None:
        self.workers_there: dict[str, dict[str, Any]] = {}
        self.engines = SweepEngines(**engines)
        self.loses: Sequence[str] = ()
        self.groups: list[tuple[str, list[str]]] = []  # that were sent: where, and the prompts
        self.made: Callable[[str, bytes], bytes] = lambda address, answer: answer
        self.lost_scheduler = False
        self.nanny: str | None = None
        self.environments: list[dict[str, str]] = []  # of the engines
        self._numbers = itertools.count(1)
        self._beat = itertools.count()
        self._handler: Callable[[Any], object] = lambda event: None
        self._here = threading.local()
        self._threads = ThreadPoolExecutor(64)
        for _ in range(count):
            self.join()
        patch.setattr(cluster_worker, "Connection", self._connection)
        patch.setattr(members, "_LOOK_S", 0.01)
        patch.setattr(station, "LocalWorker", self._local_worker)
        patch.setattr(distributed, "secede", lambda: None)
        patch.setattr(distributed, "get_worker", lambda: self._here.worker)
        self.client: Any = None

    def _local_worker(self, command: Any, *arguments: Any, **more: Any) -> LocalWorker:
        self.environments.append(more["environment"])
        return LocalWorker(self.engines, *arguments, **more)

    def _connection(self, choice: object) -> FakeCluster:
        self.client = None  # until it is opened again
        return self

    # --- what a test does -------------------------------------------------------------------------

    def join(self) -> str:
        address = f"tcp://fake:{next(self._numbers)}"
        about = {"name": address, "host": "fake", "local_directory": address}
        self.workers_there[address] = about
        return address

    def lose(self, address: str) -> None:
        self.workers_there.pop(address, None)

    # --- Connection -------------------------------------------------------------------------------

    address = "tcp://fake:8786"

    @property
    def is_open(self) -> bool:
        return not self.lost_scheduler

    async def open(self) -> None:
        self.client = self

    async def workers(self) -> dict[str, dict[str, Any]]:
        if self.lost_scheduler:
            raise NoWorkers("cluster_lost", "The Dask scheduler is gone.")
        beat = 4e9 + next(self._beat)
        return {a: {"last_seen": beat, **about} for a, about in self.workers_there.items()}

    def kill(self) -> None: ...

    async def close(self) -> None: ...

    # --- Client -----------------------------------------------------------------------------------

    def subscribe_topic(self, topic: str, handler: Callable[[Any], object]) -> None:
        self._handler = handler

    def submit(
        self, task: Callable[[bytes], bytes], payload: bytes, *, workers: list[str], **_: Any
    ) -> _Future:
        (address,) = workers
        prompts = [job.prompt.prompt for job in unpack(payload, Group).jobs]
        self.groups.append((address, prompts))
        if set(prompts) & set(self.loses):
            self.lose(address)
            self.join()
        if address not in self.workers_there:
            return _Future(asyncio.Event().wait())
        return _Future(self._run(task, payload, address))

    async def _run(self, task: Callable[[bytes], bytes], payload: bytes, address: str) -> bytes:
        loop = asyncio.get_running_loop()

        def work() -> bytes:
            def log_event(topic: str, said: bytes) -> None:
                loop.call_soon_threadsafe(self._handler, (0.0, said))

            worker = SimpleNamespace(address=address, nanny=self.nanny, log_event=log_event)
            self._here.worker = worker
            return task(payload)

        answer = await loop.run_in_executor(self._threads, work)
        if address not in self.workers_there:
            await asyncio.Event().wait()
        return self.made(address, answer)

    async def run(
        self, task: Callable[..., object], session: str, *, workers: list[str], **_: Any
    ) -> None:
        for address in workers:
            task(session, dask_worker=SimpleNamespace(address=address))

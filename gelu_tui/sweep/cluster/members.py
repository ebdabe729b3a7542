"""Who is in a cluster: workers join, are asked to load the model, are refused, and are lost."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.safe_text import visible_line
from gelu_tui.sweep import events as e
from gelu_tui.sweep.cluster.choice import Cluster
from gelu_tui.sweep.cluster.connection import Connection
from gelu_tui.sweep.cluster.lane import Lane, difference
from gelu_tui.sweep.cluster.messages import (
    Doing,
    Group,
    GroupResult,
    OtherVersion,
    Setup,
    own_version,
    pack,
    unpack,
)
from gelu_tui.sweep.cluster.station import end_station, run_group
from gelu_tui.sweep.prompts import Prompt
from gelu_tui.sweep.worker import NoWorkers

_LOOK_S = 1.0
_SILENCE_S = 60.0  # of a machine that sleeps, or is unplugged


class Members:
    """The workers of a connected cluster, by what Dask knows of them.

    `wake` is called when something has changed. `lost` takes the prompts from a lane that is gone,
    and returns how many; `taken_back` gets those of one that is refused. `first` is what the first
    engine loaded, with which the others are compared; `failure` is what ended it all.
    """

    def __init__(
        self,
        connection: Connection,
        choice: Cluster,
        on: Callable[[e.SweepEvent], object],
        *,
        wake: Callable[[], object],
        lost: Callable[[Lane, str], int],
        taken_back: Callable[[Sequence[Prompt]], object],
    ) -> None:
        self._connection, self._choice, self._on = connection, choice, on
        self._wake, self._lost, self._taken_back = wake, lost, taken_back
        self._setup: Setup | None = None
        self._silent: dict[str, Any] = {}  # when they were last seen
        self._topic = f"gelu-tui-{secrets.token_hex(8)}"
        self._watching: asyncio.Task[None] | None = None
        self.lanes: dict[str, Lane] = {}
        self.first: p.Loaded | None = None
        self.failure: GeluError | None = None

    @property
    def ready(self) -> list[Lane]:
        """The workers that can have prompts."""
        return [lane for lane in self.lanes.values() if lane.ready]

    @property
    def usable(self) -> list[Lane]:
        """The workers that are not refused."""
        return [lane for lane in self.lanes.values() if lane.refused is None]

    def watch(self) -> None:
        """Begin to look who is there."""
        self._connection.client.subscribe_topic(self._topic, self._told)
        self._watching = asyncio.create_task(self._watch())

    async def begin(self, setup: Setup) -> None:
        """Have all of them load a model, in a session of its own; an earlier one ends."""
        await self.end_stations()
        self._setup = msgspec.structs.replace(
            setup, session=secrets.token_hex(8), topic=self._topic
        )
        self.first = None
        for lane in self.lanes.values():
            lane.reset()
            self._open(lane)

    async def end_stations(self) -> None:
        """End the engines of this session. Raises nothing."""
        if self._setup is None or not self._connection.is_open or not self.lanes:
            return
        addresses = [lane.address for lane in self.lanes.values()]
        with contextlib.suppress(Exception):
            ended = self._connection.client.run(
                end_station, self._setup.session, workers=addresses, on_error="ignore"
            )
            await asyncio.wait_for(ended, 3.0)

    def close(self) -> None:
        """Look no more, and forget what is with them."""
        if self._watching is not None:
            self._watching.cancel()
        for lane in self.lanes.values():
            if lane.opening is not None:
                lane.opening.cancel()
            lane.take_back()

    def check(self) -> None:
        """Raise `GeluError` for what ends the work."""
        if self.failure is not None:
            raise self.failure
        lanes = list(self.lanes.values())
        if len(lanes) >= max(1, self._choice.expected) and all(lane.refused for lane in lanes):
            error = lanes[0].refused
            assert error is not None
            raise GeluError(error.kind, error.message, error.hint)

    async def _watch(self) -> None:
        """See who joins and who is lost."""
        try:
            while True:
                self._compare(await self._connection.workers())
                await asyncio.sleep(_LOOK_S)
        except GeluError as error:
            self.failure = error
        except Exception as error:  # of Dask's own: the sweep must end, not hang
            message = f"Dask failed: {visible_line(str(error) or type(error).__name__)[:200]}."
            self.failure = NoWorkers("cluster_lost", message, "The same command goes on.")
        self._wake()

    def _compare(self, workers: dict[str, dict[str, Any]]) -> None:
        now = time.monotonic()
        # A worker that was started again may have the same address, and has another folder.
        there = {f"{a} {about.get('local_directory')}": a for a, about in workers.items()}
        for key, lane in list(self.lanes.items()):
            about = workers.get(lane.address, {})
            if about.get("last_seen") != lane.seen[0]:
                lane.seen = (about.get("last_seen"), now)
            if key not in there:
                self._lose(key, "it ended, or its connection broke")
            elif now - lane.seen[1] > _SILENCE_S:
                self._silent[key] = lane.seen[0]
                self._lose(key, f"nothing was heard of it for {_SILENCE_S:g} seconds")
        for key, address in there.items():
            about = workers[address]
            is_silent = key in self._silent and self._silent[key] == about.get("last_seen")
            if key not in self.lanes and not is_silent:
                host = str(about.get("host", ""))
                lane = self.lanes[key] = Lane(address, self._name(about), host)
                self._open(lane)

    def _name(self, about: dict[str, Any]) -> str:
        """What people call a worker."""
        name, host = visible_line(str(about.get("name", ""))), str(about.get("host", ""))
        if self._choice.workers:
            return name
        name = host if "://" in name or name.isdecimal() else name
        taken = {lane.name for lane in self.lanes.values()}
        others = (f"{name} ({n})" for n in range(2, len(taken) + 3))
        return next(each for each in (name, *others) if each not in taken)

    def _lose(self, key: str, why: str) -> None:
        lane = self.lanes.pop(key)
        if lane.opening is not None:
            lane.opening.cancel()
        prompts = self._lost(lane, why)
        self._on(e.WorkerLost(lane.name, why, prompts))
        self._wake()

    def _open(self, lane: Lane) -> None:
        if self._setup is not None:
            lane.opening = asyncio.create_task(self._load_on(lane))

    async def _load_on(self, lane: Lane) -> None:
        """Have the model loaded there, and see whether its results can stand beside others'."""
        lane.doing = "loads the model"
        self.tell(lane)
        try:
            result = await self.ask(lane, Group(self.setup_of(lane)))
        except Exception as error:
            self.refuse(lane, of_a_task(error, lane))
            return
        if result.loaded is None:
            self.refuse(lane, result.error or ErrorInfo("engine_died", "Its engine has ended."))
            return
        if self.first is None:
            self.first = result.loaded
        clause, hint = difference(result.loaded, self.first)
        if clause:
            self.refuse(lane, ErrorInfo("other_machine", f"{lane.name} {clause}.", hint))
            return
        lane.loaded, lane.doing = result.loaded, "waits for prompts"
        self.tell(lane)
        self._wake()

    def tell(self, lane: Lane) -> None:
        """Tell how a worker is."""
        if lane in self.lanes.values():  # it may have been lost meanwhile
            self._on(e.WorkerTold(lane.state))

    def setup_of(self, lane: Lane) -> Setup:
        """The setup of one worker's engine."""
        assert self._setup is not None
        there = sum(other.host == lane.host for other in self.lanes.values())
        sharing = max(there, self._choice.workers)
        return msgspec.structs.replace(self._setup, sharing=sharing)

    def refuse(self, lane: Lane, error: ErrorInfo) -> None:
        """Use a worker no more."""
        lane.refused, lane.doing = error, "is not used"
        self._taken_back(lane.take_back())
        if any(other.refused is None for other in self.lanes.values()):  # else it ends the sweep
            self._on(e.WorkerRefused(lane.name, error))
        self._wake()

    async def ask(self, lane: Lane, group: Group) -> GroupResult:
        """Have a worker run a group. Raises what Dask raises, and `GeluError`."""
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
            for lane in self.lanes.values():
                if lane.address == doing.worker and lane.refused is None:
                    lane.doing = visible_line(doing.clause)
                    self.tell(lane)
                    if doing.lost is not None:
                        self._on(e.EngineLost(doing.lost, lane.name))


def of_a_task(error: Exception, lane: Lane) -> ErrorInfo:
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

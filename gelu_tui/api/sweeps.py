"""Sweeps: many prompts from Python."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from gelu_tui.api.keywords import SWEEP_FIELDS, SweepKeywords, converted, engine_of, of_sweep
from gelu_tui.api.sweep_results import Sweep
from gelu_tui.api.unfinished import Unfinished
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.sweep import events as e
from gelu_tui.sweep.cluster.choice import Cluster, cluster_of
from gelu_tui.sweep.earlier import results_of, what_changed
from gelu_tui.sweep.plan import Plan, Source, make_plan
from gelu_tui.sweep.progress import SweepProgress
from gelu_tui.sweep.runner import SweepSession, is_complete
from gelu_tui.sweep.store import SweepStore

Say = Callable[[str], object]

_GRACE_S = 10.0  # for an engine that is cancelled


@of_sweep(SweepKeywords)
def sweep(
    prompts: Source | os.PathLike[str],
    *,
    restart: bool = False,
    progress: Say | None = None,
    engine_command: str | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    ssh: Sequence[str] | str | None = None,
    ssh_python: str | None = None,
    host: str | None = None,
    **settings: Any,
) -> Sweep:
    """Run many prompts under several activation functions, and return the statistics.

    `prompts` is a sweep file, a file of prompts (.jsonl, .csv, .txt), `builtin:notebook`, or a list
    of texts or of dictionaries with `prompt` and the other fields of a row. What is finished is
    saved, as the command does: the same call goes on where it was interrupted, and returns at once
    when all is done; `restart` begins anew. `progress`, such as `print`, is called with a line each
    time a prompt is finished. Settings that are given come before those of a sweep file.

    With `workers` so many engines of this machine compute, with `scheduler` those of a running Dask
    cluster, with `ssh` (hosts, and `ssh_python` there) those of other machines.

    Raises `GeluError`; `Unfinished`, if it failed on the way, has what there was until then.
    """
    source = os.fspath(prompts) if isinstance(prompts, os.PathLike) else prompts
    given = converted(settings, SWEEP_FIELDS)
    cluster = cluster_of(workers, scheduler, ssh, ssh_python)
    engine_command = engine_of(engine_command, host)
    is_here = engine_command is None and (cluster is None or bool(cluster.workers))
    plan = make_plan(source, (), given, local=is_here)
    store = None if restart else results_of(plan)
    error = None
    if store is None or not is_complete(store):
        if store is None and (told := what_changed(plan)) is not None:
            _warn(told)
        store, error = _Thread(plan, engine_command, restart, progress, cluster).run()
    if store is None:
        error = error or ErrorInfo("engine_died", "The sweep ended before it began.")
        raise GeluError(error.kind, error.message, error.hint)
    found = Sweep(store, error)
    if error is not None:
        raise Unfinished(error, found)
    return found


class _Thread:
    """A session in a thread of its own: the caller may have a running event loop."""

    def __init__(
        self,
        plan: Plan,
        engine_command: str | None,
        restart: bool,
        say: Say | None,
        cluster: Cluster | None,
    ) -> None:
        self._plan, self._say, self._cluster = plan, say, cluster
        self._command, self._restart = engine_command, restart
        self._progress = SweepProgress(plan)
        self._loop = asyncio.new_event_loop()
        self._session: SweepSession | None = None
        self._failure: BaseException | None = None
        self._warnings: list[ErrorInfo] = []

    def run(self) -> tuple[SweepStore | None, ErrorInfo | None]:
        """Return the results, and what ended it early.

        An interrupt stops it and is raised; what is finished is kept.
        """
        thread = threading.Thread(target=self._work, name="gelu-tui sweep", daemon=True)
        thread.start()
        try:
            while thread.is_alive():
                thread.join(1.0)  # a join without a limit would not be interrupted everywhere
        except KeyboardInterrupt:
            self._call(SweepSession.stop)
            with contextlib.suppress(KeyboardInterrupt):
                thread.join(_GRACE_S)
            if thread.is_alive():
                self._call(SweepSession.kill)
            raise
        session, failure = self._session, self._failure
        for warning in self._warnings:
            if session is None or warning != session.error:  # which is raised
                _warn(warning)
        store = None if session is None else session.store
        if isinstance(failure, GeluError):
            return store, failure.info
        if failure is not None:
            raise failure
        return store, None if session is None else session.error

    def _call(self, what: Callable[[SweepSession], object]) -> None:
        if self._session is not None and not self._loop.is_closed():
            with contextlib.suppress(RuntimeError):  # it has ended meanwhile
                self._loop.call_soon_threadsafe(what, self._session)

    def _work(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            with contextlib.closing(self._loop):
                self._loop.run_until_complete(self._sweep())
        except BaseException as failure:
            self._failure = failure

    async def _sweep(self) -> None:
        self._session = SweepSession(
            self._plan,
            self._take,
            engine_command=self._command,
            anew=self._restart,
            cluster=self._cluster,
        )
        await self._session.run()

    def _take(self, event: e.SweepEvent) -> None:
        self._progress.apply(event)
        match event:
            case e.EngineLost() | e.ModelFailed():
                self._warnings.append(event.error)
            case e.ModelBegan():
                warned = event.loaded.model.warnings
                self._warnings += [ErrorInfo("config", warning) for warning in warned]
            case e.PromptDone() | e.PromptFailed() if self._say is not None:
                self._say(self._progress.line)


def _warn(info: ErrorInfo) -> None:
    warnings.warn(f"{info.message} {info.hint}".strip(), stacklevel=4)

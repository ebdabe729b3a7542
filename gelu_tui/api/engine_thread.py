"""The client of an engine, with an event loop in a thread of its own.

The caller may have a running event loop, as a notebook has, or be in any thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from gelu_tui.client import EngineClient
from gelu_tui.core import protocol as p
from gelu_tui.core.errors import ErrorInfo, GeluError

_T = TypeVar("_T")

_CANCEL_GRACE_S = 5.0
_ABANDON_GRACE_S = 2.0

# The last answers that say why a command failed.
_WITH_ERROR = p.Failed | p.Finished | p.TextFinished


class EngineThread:
    """`start`, then `ask` as often as you like, then `close`; for one caller at a time."""

    def __init__(self, engine_command: str | None) -> None:
        self._client = EngineClient(engine_command)
        self._loop = asyncio.new_event_loop()
        self._turn = asyncio.Lock()  # an interrupted command may still be ending
        self._killed = False
        # A daemon: an engine that nobody closed must not keep the program from ending.
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="gelu-tui engine", daemon=True
        )
        self._thread.start()

    @property
    def running(self) -> bool:
        """Whether the engine is alive."""
        return self._client.running and not self._killed

    def start(self) -> None:
        """Start the engine. Raises `GeluError`."""
        self._wait(self._client.start())

    def ask(self, command: p.Command, take: Callable[[p.Event], object]) -> GeluError | None:
        """Pass the command's answers to `take`, in the engine's thread; return what ended it early.

        An interrupt cancels the command, and is raised when the engine is quiet again or killed.
        """
        return self._wait(self._ask(command, take))

    async def _ask(self, command: p.Command, take: Callable[[p.Event], object]) -> GeluError | None:
        error: ErrorInfo | None = None
        async with self._turn:
            try:
                async for event in self._client.ask(command):
                    take(event)
                    if isinstance(event, _WITH_ERROR):
                        error = event.error
            except GeluError as failure:  # it died, or what it says makes no sense
                await self._client.close()
                return failure
        return None if error is None else GeluError(error.kind, error.message, error.hint)

    def close(self) -> None:
        """End the engine and the thread. Raises nothing of the engine's."""
        try:
            self._wait(self._client.close())
        finally:
            self._end_loop()

    def abandon(self) -> None:
        """Kill the engine, if it was not closed: when nobody uses it any more, or at the exit.

        The garbage collector may call this in any thread, so it waits for nothing for long.
        """
        if self._loop.is_closed():
            return
        self._client.kill()
        if threading.current_thread() is self._thread:
            self._loop.stop()
            return
        with contextlib.suppress(Exception):
            closed = asyncio.run_coroutine_threadsafe(self._client.close(), self._loop)
            closed.result(timeout=_ABANDON_GRACE_S)
        self._end_loop(timeout=_ABANDON_GRACE_S)

    def _end_loop(self, timeout: float | None = None) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout)
        if not self._thread.is_alive():
            self._loop.close()

    def _wait(self, job: Coroutine[Any, Any, _T]) -> _T:
        done: Future[_T] | None = None
        try:
            done = asyncio.run_coroutine_threadsafe(job, self._loop)
            return done.result()
        except KeyboardInterrupt:
            try:
                asyncio.run_coroutine_threadsafe(self._client.send(p.Cancel()), self._loop)
                if done is not None:
                    done.exception(timeout=_CANCEL_GRACE_S)
            except BaseException:  # another interrupt, or an engine that does not listen
                self._killed = True
                self._client.kill()
            raise

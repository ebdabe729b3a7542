"""An event loop in which nobody waits: with nothing else to do, its clock jumps to the next timer.

While code runs the clock stands nearly still, so that what a test sees does not depend on how fast
the machine is; so it does for a thread, unless that is blocked. While one is, or a child process
lives, the loop waits as any other does.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable
from typing import Any

real_monotonic = time.monotonic

_PASS_S = 1e-4  # what one pass through the loop takes, so that time passes for busy loops too
_BLOCKED_S = 0.5  # a thread that works for longer may be waiting for what a timer does
_clocks: list[Callable[[], float]] = [real_monotonic]


def monotonic() -> float:
    """Return the time of the jumping loop there is, or else what `time.monotonic` does."""
    return _clocks[-1]()


class _JumpingSelector(selectors.DefaultSelector):
    """Waits only for what comes from outside of the loop."""

    def __init__(self) -> None:
        super().__init__()
        self.now = real_monotonic()
        self.processes = 0
        self.threads: dict[object, float] = {}  # those that work, and since when

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            return super().select()
        if timeout <= 0 or not (self.processes or self.threads):
            ready = super().select(0)
            self.now += _PASS_S if ready else max(timeout, _PASS_S)
            return ready
        began = real_monotonic()
        patience = max(self.threads.values(), default=0.0) + _BLOCKED_S - began
        if patience > 0 and (ready := super().select(patience)):
            return ready
        ready = super().select(timeout)
        self.now += min(timeout, real_monotonic() - began) if ready else timeout
        return ready


class JumpingLoop(asyncio.SelectorEventLoop):
    """While it is there, its clock is `time.monotonic` too."""

    def __init__(self) -> None:
        self._selected = _JumpingSelector()
        super().__init__(self._selected)
        _clocks.append(self.time)

    def close(self) -> None:
        if not self.is_closed():
            _clocks.remove(self.time)
        super().close()

    def time(self) -> float:
        return self._selected.now

    def run_in_executor(self, *args: Any) -> Any:
        future = super().run_in_executor(*args)
        self._selected.threads[future] = real_monotonic()
        future.add_done_callback(self._selected.threads.pop)
        return future

    async def subprocess_exec(self, *args: Any, **options: Any) -> Any:
        self._selected.processes += 1
        return await super().subprocess_exec(*args, **options)

    async def shutdown_default_executor(self, *args: Any) -> None:
        self._selected.processes += 1  # or its timeout would be over at once
        await super().shutdown_default_executor(*args)

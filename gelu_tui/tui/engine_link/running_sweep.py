"""A sweep that the app runs, whatever screen is open. It has an engine of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from textual.message import Message

from gelu_tui.client import EngineCommand
from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.reports.progress import duration

if TYPE_CHECKING:
    from gelu_tui.sweep.events import SweepEvent
    from gelu_tui.sweep.plan import Plan
    from gelu_tui.sweep.store import SweepStore

_SHOWN = 4  # running prompts that are named


class SweepChanged(Message):
    """The sweep that the app runs has come further, or has ended."""


class RunningSweep:
    """One session of a sweep; `run` is the body of a worker. `changed` is called for every event.

    `changes` counts what was saved. `error` is what ended it early, or the last model's that could
    not be loaded. Raises `GeluError` where earlier results cannot be read.
    """

    def __init__(
        self, plan: Plan, engine_command: EngineCommand, changed: Callable[[], object]
    ) -> None:
        # numpy and SciPy, which the first frame of the app does without
        from gelu_tui.sweep.progress import SweepProgress
        from gelu_tui.sweep.runner import SweepSession

        self.plan = plan
        self.progress = SweepProgress(plan)
        self.changes = 0
        self.error: ErrorInfo | None = None
        self.ended = asyncio.Event()
        self._session = SweepSession(plan, self._take, engine_command=engine_command)
        self._changed = changed

    @property
    def is_over(self) -> bool:
        return self.ended.is_set()

    @property
    def is_stopping(self) -> bool:
        return self._session.stopped and not self.is_over

    @property
    def store(self) -> SweepStore | None:
        """Its results; None until the first model is loaded."""
        return self._session.store

    async def run(self) -> None:
        """Run until all is done or it is stopped. Raises nothing."""
        try:
            await self._session.run()
            self.error = self._session.error
        except GeluError as error:
            self.error = error.info
        finally:
            self.ended.set()
            self.changes += 1
            self._changed()

    def stop(self) -> None:
        """Cancel what runs; what is finished is kept."""
        self._session.stop()
        self._changed()

    def kill(self) -> None:
        """End its engine at once, from anywhere."""
        self._session.kill()

    @property
    def short(self) -> str:
        """E.g. `sweep 12/400`, for a status line."""
        progress = self.progress
        done = progress.all_done + progress.all_failed
        return f"sweep {done:,}/{progress.whole:,}{', stopping' * self.is_stopping}"

    @property
    def status(self) -> str:
        """The same with the time left, if it is known: `sweep 12/400 · 29 min left`."""
        left = self.progress.seconds_left if self.progress.running else None
        return self.short if left is None else f"{self.short} · {duration(left)} left"

    @property
    def running_words(self) -> str:
        """What is computed now: `now prompts 12, 13, 14 and 5 more, up to token 34`, or nothing.

        Numbers count from 0, as in the ids of runs.
        """
        running = self.progress.running
        if not running:
            return ""
        shown = ", ".join(map(str, list(running)[:_SHOWN]))
        more = f" and {len(running) - _SHOWN:,} more" if len(running) > _SHOWN else ""
        token = max(len(s.tokens) for each in running.values() for s in each.streams)
        return f"now prompt{'s' * (len(running) > 1)} {shown}{more}, up to token {token:,}"

    def _take(self, event: SweepEvent) -> None:
        from gelu_tui.sweep import events as e

        self.progress.apply(event)
        if isinstance(event, e.Opened | e.PromptDone | e.PromptFailed):
            self.changes += 1
        self._changed()

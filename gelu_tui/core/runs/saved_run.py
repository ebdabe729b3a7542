"""The history's entry of one run: kept up to date while it runs, replaced when it ends."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from gelu_tui.core.errors import ErrorInfo, GeluError

if TYPE_CHECKING:
    from gelu_tui.core.runs.document import ComparisonDocument
    from gelu_tui.core.runs.history import History

# A terminal that hangs up leaves a few seconds, and the engine has to end in them too.
_LAST_MOMENT_S = 1.5

_KEEP_EVERY_S = 2.0
_KEEP_SHARE = 0.02  # at most this share of one core: a save of a long run takes longer


class SavedRun:
    """One entry: `run`, or the first save creates it; later saves replace it.

    Threads may save in any order: the newest document is kept.
    """

    def __init__(self, history: History, run: int | None = None) -> None:
        self._history = history
        self._at_once = type(history)(history.path, patience_s=_LAST_MOMENT_S)
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._newest = 0
        self._keeper: threading.Thread | None = None
        self._next_keep = time.monotonic() + _KEEP_EVERY_S
        self._notice: ErrorInfo | None = None  # of a save that nobody waited for
        self.run = run
        self.failed = False  # whether the last `save…` did not succeed

    def keep(self, make: Callable[[], ComparisonDocument]) -> None:
        """Save what `make` returns in the background, unless that was done a moment ago.

        For a run that may be killed. A failure is not told: the next save tries again.
        """
        busy = self._keeper is not None and self._keeper.is_alive()
        if busy or time.monotonic() < self._next_keep:
            return
        arguments = (make(), next(self._numbers))
        self._keeper = threading.Thread(target=self._keep, args=arguments, daemon=True)
        self._keeper.start()

    def _keep(self, document: ComparisonDocument, number: int) -> None:
        before = time.thread_time()
        with contextlib.suppress(GeluError):
            self._notice = self._replace(self._at_once, document, number, 0.0) or self._notice
        spent = time.thread_time() - before
        self._next_keep = time.monotonic() + max(_KEEP_EVERY_S, spent / _KEEP_SHARE)

    async def save(self, document: ComparisonDocument) -> ErrorInfo | None:
        """Save on a thread; return what the user should know, if anything."""
        number = next(self._numbers)
        return await asyncio.to_thread(self._save, self._history, document, number, -1)

    def save_here(self, document: ComparisonDocument) -> ErrorInfo | None:
        """Save before returning; return what the user should know, if anything."""
        return self._save(self._history, document, next(self._numbers), -1)

    def save_now(self, document: ComparisonDocument) -> ErrorInfo | None:
        """Save before returning, with little patience: for an app that has seconds to live."""
        return self._save(self._at_once, document, next(self._numbers), _LAST_MOMENT_S)

    def _save(
        self, history: History, document: ComparisonDocument, number: int, patience_s: float
    ) -> ErrorInfo | None:
        try:
            told = self._replace(history, document, number, patience_s)
        except GeluError as error:
            self.failed = True
            return error.info
        self.failed = False
        kept, self._notice = self._notice, None
        return told or kept

    def _replace(
        self, history: History, document: ComparisonDocument, number: int, patience_s: float
    ) -> ErrorInfo | None:
        """Save unless a newer document is saved; return the history's notice."""
        if not self._lock.acquire(timeout=patience_s):
            message = "The run could not be saved: another save has not ended yet."
            raise GeluError("history_locked", message)
        try:
            if number > self._newest:
                self.run = history.save(document, self.run)
                self._newest = number
        finally:
            self._lock.release()
        return history.pop_notice()

"""The comparison on the screen, with what a document of it needs; saved as it ends.

Documents and SQLite are imported when they are needed: the first frame comes before.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from typing import TYPE_CHECKING

from textual.message import Message

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import Comparison
from gelu_tui.core.errors import ErrorInfo, GeluError

if TYPE_CHECKING:
    from gelu_tui.core.runs.document import ComparisonDocument
    from gelu_tui.core.runs.history import History

# A terminal that hangs up leaves a few seconds, and the engine has to end in them too.
_LAST_MOMENT_S = 1.5


class RunSaved(Message):
    """A run was added to the history or changed there: for the screen that lists them."""


class SavedRun:
    """The history's entry of one run: the first save creates it, later saves replace it.

    Threads may save in any order: the newest document is kept.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self._at_once = type(history)(history.path, patience_s=_LAST_MOMENT_S)
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._newest = 0
        self.run: int | None = None

    async def save(self, document: ComparisonDocument) -> ErrorInfo | None:
        """Save on a thread; return what the user should know, if anything."""
        number = next(self._numbers)
        return await asyncio.to_thread(self._save, self._history, document, number, -1)

    def save_now(self, document: ComparisonDocument) -> ErrorInfo | None:
        """Save before returning, with little patience: for an app that has seconds to live."""
        return self._save(self._at_once, document, next(self._numbers), _LAST_MOMENT_S)

    def _save(
        self, history: History, document: ComparisonDocument, number: int, patience_s: float
    ) -> ErrorInfo | None:
        if not self._lock.acquire(timeout=patience_s):
            message = "The run could not be saved: another save has not ended yet."
            return ErrorInfo("history_locked", message)
        try:
            if number > self._newest:
                self.run = history.save(document, self.run)
                self._newest = number
        except GeluError as error:
            return error.info
        finally:
            self._lock.release()
        return history.pop_notice()


class ShownRun:
    """A comparison that runs or has run here, or a saved one that was reopened."""

    def __init__(
        self,
        comparison: Comparison,
        ran_on: p.Loaded | ComparisonDocument,
        history: History | None = None,
    ) -> None:
        self.comparison = comparison
        self._ran_on = ran_on
        self.saved = None if isinstance(ran_on, p.Loaded) else ran_on
        self.live = self.saved is None
        self._unsaved = True
        self._error: ErrorInfo | None = None
        self._run = SavedRun(history) if history is not None else None

    @classmethod
    def reopened(cls, saved: ComparisonDocument) -> ShownRun:
        """Return a saved comparison as it is shown; it is not saved again."""
        from gelu_tui.core.runs.restore import restore

        return cls(restore(saved), saved)

    def end(self, error: ErrorInfo | None = None) -> None:
        """Mark the comparison as ended; `error` is what ended it without an event of the engine."""
        self.live = False
        self._error = error

    def document(self) -> ComparisonDocument:
        """Return the document of the comparison in its present state."""
        from gelu_tui.core.runs.document import document

        if isinstance(self._ran_on, p.Loaded):
            status: p.Status | None = "failed" if self._error else None
            return document(self.comparison, self._ran_on, status=status, error=self._error)
        return self._ran_on

    async def save(self) -> ErrorInfo | None:
        """Save on a thread; return what the user should know, if anything."""
        if self._run is None or not self.comparison.total_tokens:
            return None
        problem = await self._run.save(self.document())
        self._unsaved = problem is not None
        return problem

    def save_now(self) -> None:
        """Save before returning, unless that is done: the app is about to end."""
        if self._run is not None and self._unsaved and self.comparison.total_tokens:
            self._run.save_now(self.document())

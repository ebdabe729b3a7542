"""Saving the run that goes on: in the background, or at once when the app is about to die."""

from __future__ import annotations

import asyncio
import itertools
import threading

from gelu_tui.core.errors import ErrorInfo, GeluError
from gelu_tui.core.runs.document import ComparisonDocument
from gelu_tui.core.runs.history import History

# A terminal that hangs up leaves a few seconds, and the engine has to end in them too.
_LAST_MOMENT_S = 1.5


class SavedRun:
    """One run of the app in the history: made when a run starts, saved as often as is useful.

    The first save makes an entry and later ones replace it, whatever the order in which their
    threads get to it: the newest document stays.
    """

    def __init__(self, history: History) -> None:
        self._history = history
        self._at_once = History(history.path, patience_s=_LAST_MOMENT_S)
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._newest = 0
        self.run: int | None = None

    async def save(self, document: ComparisonDocument) -> ErrorInfo | None:
        """Save without holding the app up; returns what the user should be told, if anything."""
        number = next(self._numbers)
        return await asyncio.to_thread(self._save, self._history, document, number, -1)

    def save_now(self, document: ComparisonDocument) -> ErrorInfo | None:
        """Save before returning, with little patience: for an app that has seconds to live."""
        return self._save(self._at_once, document, next(self._numbers), _LAST_MOMENT_S)

    def _save(
        self, history: History, document: ComparisonDocument, number: int, patience_s: float
    ) -> ErrorInfo | None:
        if not self._lock.acquire(timeout=patience_s):
            return ErrorInfo(
                "history_locked", "The run could not be saved: another save is still going on."
            )
        try:
            if number > self._newest:
                self.run = history.save(document, self.run)
                self._newest = number
        except GeluError as error:
            return error.info
        finally:
            self._lock.release()
        return history.pop_notice()

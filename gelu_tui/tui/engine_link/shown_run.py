"""The comparison on the screen, with what a document of it needs; saved while it runs and ends.

Documents and SQLite are imported when they are needed: the first frame comes before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from textual.message import Message

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import Comparison
from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.runs.saved_run import SavedRun

if TYPE_CHECKING:
    from gelu_tui.core.runs.document import ComparisonDocument
    from gelu_tui.core.runs.history import History


_SAVE_AGAIN_S = 5.0  # after a save that failed; then twice as long each time
_SAVE_AT_LEAST_EVERY_S = 60.0


class RunSaved(Message):
    """A run was added to the history or changed there: for the screen that lists them."""


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
        self._saved_whole = False  # as it ended
        self._kept_tokens = 0
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

    async def save(self, tell: Callable[[ErrorInfo | str], object]) -> None:
        """Save on a thread, again and again where that fails.

        `tell` is called with what the user should know, if anything.
        """
        if self._run is None or not self.comparison.total_tokens:
            return
        if (problem := await self._run.save(self.document())) is not None:
            tell(problem)
        if self._run.failed:
            await self._save_again()
            tell("The run that could not be saved is saved now.")
        self._saved_whole = True

    async def _save_again(self) -> None:
        wait_s = _SAVE_AGAIN_S
        while self._run is not None and self._run.failed:
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, _SAVE_AT_LEAST_EVERY_S)
            await self._run.save(self.document())

    def keep(self) -> None:
        """Save what is new since the last time in the background, every few seconds."""
        tokens = self.comparison.total_tokens
        if self._run is not None and tokens > self._kept_tokens:
            self._run.keep(self._kept)

    def _kept(self) -> ComparisonDocument:
        self._kept_tokens = self.comparison.total_tokens
        return self.document()

    def save_now(self) -> None:
        """Save before returning, unless that is done: the app is about to end."""
        if self._run is not None and not self._saved_whole and self.comparison.total_tokens:
            self._run.save_now(self.document())
            self._saved_whole = not self._run.failed

"""The comparison on the screen, with what a document of it needs; saved while it runs and ends.

Documents and SQLite are imported when they are needed: the first frame comes before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec.structs import replace
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
        self._saved_whole = not self.live  # as it is
        self._kept_tokens = 0
        self._error: ErrorInfo | None = None
        self._created = "" if self.saved is None else self.saved.created
        self._changed = False  # since it was saved
        self._before: ComparisonDocument | None = None  # what is saved of a run that goes on
        self._run = SavedRun(history) if history is not None else None

    @classmethod
    def reopened(
        cls, saved: ComparisonDocument, history: History | None = None, number: int | None = None
    ) -> ShownRun:
        """Return a saved comparison as it is shown; it is saved again only if it changes.

        `number` is its id in the history.
        """
        from gelu_tui.core.runs.restore import restore

        shown = cls(restore(saved), saved)
        shown._run = SavedRun(history, number) if history is not None else None
        return shown

    def going_on(self, comparison: Comparison, loaded: p.Loaded) -> ShownRun:
        """Return this run while it goes on as `comparison`; this one is not saved any more."""
        shown = ShownRun(comparison, loaded)
        before = self.document()
        shown._before = before if self._saved_whole else None
        shown._created, shown._kept_tokens = before.created, self.comparison.total_tokens
        shown._run, self._run = self._run, None
        return shown

    def end(self, error: ErrorInfo | None = None) -> None:
        """Mark the comparison as ended; `error` is what ended it without an event of the engine."""
        self.live = False
        self._error = error
        self._created = self._created or datetime.now(UTC).isoformat(timespec="seconds")

    def change(self, event: p.Event) -> None:
        """Apply what the engine has found out about a run that has ended."""
        self.comparison.apply(event)
        self._changed, self._saved_whole = True, False

    def document(self) -> ComparisonDocument:
        """Return the document of the comparison in its present state."""
        from gelu_tui.core.runs.document import document

        if self.saved is not None and not self._changed:
            return self.saved
        status: p.Status | None = "failed" if self._error else None
        whole = document(self.comparison, self._ran_on, status=status, error=self._error)
        return replace(whole, created=self._created) if self._created else whole

    @property
    def _is_worth_saving(self) -> bool:
        if not self.comparison.total_tokens:
            return False
        from gelu_tui.core.runs.going_on import has_more

        return self._before is None or has_more(self.document(), self._before)

    async def save(self, tell: Callable[[ErrorInfo | str], object]) -> None:
        """Save on a thread, again and again where that fails.

        `tell` is called with what the user should know, if anything.
        """
        run = self._run
        if run is None or not self._is_worth_saving:
            return
        if (problem := await run.save(self.document())) is not None:
            tell(problem)
        if run.failed:
            await self._save_again(run)
            if self._run is run:
                tell("The run that could not be saved is saved now.")
        self._saved_whole = True

    async def _save_again(self, run: SavedRun) -> None:
        wait_s = _SAVE_AGAIN_S
        while run.failed:
            await asyncio.sleep(wait_s)
            if self._run is not run:
                return  # it goes on: the longer one is saved
            wait_s = min(2 * wait_s, _SAVE_AT_LEAST_EVERY_S)
            await run.save(self.document())

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
        if self._run is not None and not self._saved_whole and self._is_worth_saving:
            self._run.save_now(self.document())
            self._saved_whole = not self._run.failed

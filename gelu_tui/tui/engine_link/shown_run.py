"""The comparison on the screen, with what a document of it needs; saved as it ends.

Documents and SQLite are imported when they are needed: the first frame comes before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gelu_tui.core import protocol as p
from gelu_tui.core.comparison.state import Comparison
from gelu_tui.core.errors import ErrorInfo

if TYPE_CHECKING:
    from gelu_tui.core.runs.document import ComparisonDocument
    from gelu_tui.core.runs.history import History
    from gelu_tui.tui.engine_link.saving import SavedRun


class Shown:
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
        self._run = _saved_run(history) if history is not None else None

    @classmethod
    def reopened(cls, saved: ComparisonDocument) -> Shown:
        """A saved comparison; it is not saved again."""
        from gelu_tui.core.runs.restore import restore

        return cls(restore(saved), saved)

    def end(self, error: ErrorInfo | None = None) -> None:
        """Nothing more will come; `error` is what ended it if it could not say so itself."""
        self.live = False
        self._error = error

    def document(self) -> ComparisonDocument:
        """The document of the comparison as it stands."""
        from gelu_tui.core.runs.document import document

        if isinstance(self._ran_on, p.Loaded):
            status: p.Status | None = "failed" if self._error else None
            return document(self.comparison, self._ran_on, status=status, error=self._error)
        return self._ran_on

    async def save(self) -> ErrorInfo | None:
        """Save without holding the app up; what the user should be told, if anything."""
        if self._run is None or not self.comparison.total_tokens:
            return None
        problem = await self._run.save(self.document())
        self._unsaved = problem is not None
        return problem

    def save_now(self) -> ErrorInfo | None:
        """Save before returning, unless that is done: the app is about to end."""
        if self._run is None or not self._unsaved or not self.comparison.total_tokens:
            return None
        return self._run.save_now(self.document())


def _saved_run(history: History) -> SavedRun:
    from gelu_tui.tui.engine_link.saving import SavedRun

    return SavedRun(history)

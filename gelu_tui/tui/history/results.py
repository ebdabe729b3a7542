"""What was chosen in the history: with what its screen is dismissed."""

from __future__ import annotations

from dataclasses import dataclass

from gelu_tui.core.runs.document import ComparisonDocument
from gelu_tui.sweep.store import SweepStore


@dataclass(frozen=True)
class Reopen:
    """Show this saved comparison; no model is needed."""

    document: ComparisonDocument
    run: int


@dataclass(frozen=True)
class Rerun:
    """Run the same comparison again."""

    document: ComparisonDocument


@dataclass(frozen=True)
class CompareRuns:
    """Show these two runs side by side, as one comparison; the reference is the first's."""

    document: ComparisonDocument
    runs: tuple[int, int]


@dataclass(frozen=True)
class OpenSweep:
    """Show this sweep; no model is needed."""

    store: SweepStore


Result = Reopen | Rerun | CompareRuns | OpenSweep | None

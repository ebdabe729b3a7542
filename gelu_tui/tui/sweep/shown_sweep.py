"""Which sweep is shown, and where one was in it: what outlives its screen."""

from __future__ import annotations

from dataclasses import dataclass

from gelu_tui.core.errors import ErrorInfo
from gelu_tui.core.runs.document import ComparisonDocument
from gelu_tui.core.safe_text import visible_line
from gelu_tui.sweep.store import SweepStore
from gelu_tui.tui.engine_link.running_sweep import RunningSweep
from gelu_tui.tui.sweep.contents import Contents

PARTS = ("rows", "curves", "estimates", "worst")


@dataclass
class ShownSweep:
    """A sweep with its results, its session if the app runs it, or both.

    `contents` are those read last, `other` those of a second sweep beside it. `part`, `key` (model
    and number), `order` and `function` are where one is.
    """

    store: SweepStore | None = None
    running: RunningSweep | None = None
    contents: Contents | None = None
    other: Contents | None = None
    part: str = PARTS[0]
    key: tuple[int, int] | None = None
    order: int | None = None
    function: int | None = None
    told: ErrorInfo | None = None  # what is to be said once, when it is opened

    @property
    def is_running(self) -> bool:
        return self.running is not None and not self.running.is_over

    @property
    def name(self) -> str:
        if self.store is not None:
            return visible_line(self.store.header.name)
        return visible_line(self.running.plan.name) if self.running is not None else ""


@dataclass(frozen=True)
class OpenRun:
    """Show this saved run of the sweep, whose id is `run`, and then come back."""

    document: ComparisonDocument
    run: str
    shown: ShownSweep
